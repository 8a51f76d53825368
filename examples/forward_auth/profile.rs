//! The table `[profiles.NAME]`, and the route that checks requests against it.

use std::{path::Path, sync::Arc};

use axum::{
    Json,
    body::Body,
    http::HeaderName,
    middleware::map_request_with_state,
    response::IntoResponse,
    routing::{MethodRouter, any},
};
use serde::Deserialize;
use serde_json::json;
use tower_auth::{
    AnyOf, AuthenticateLayer, Authenticator, AuthorizeLayer, Challenge, JwtAuth, Principal,
    jwt::Issuers,
    respond::{HttpStatus, JoinChallenges, ProblemJson, Respond},
};

use crate::{
    basic::Basic,
    bearer::Bearer,
    fault::Fault,
    headers::{CallerHeaders, Headers},
    health::IssuerKeys,
    preflight::Preflight,
    require::Require,
    subrequest,
    table::{some_table, table},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    realm: Option<String>,
    #[serde(default, deserialize_with = "some_table")]
    basic: Option<Basic>,
    #[serde(default, deserialize_with = "some_table")]
    bearer: Option<Bearer>,
    #[serde(default, deserialize_with = "some_table")]
    require: Option<Require>,
    errors: Option<Errors>,
    #[serde(default)]
    challenges: ChallengeLines,
    #[serde(default, deserialize_with = "table")]
    headers: Headers,
    #[serde(default, deserialize_with = "some_table")]
    preflight: Option<Preflight>,
}

type Schemes = AnyOf<Vec<Arc<dyn Authenticator>>>;

/// The format of error bodies. Without it, they are empty.
#[derive(Clone, Copy, Deserialize)]
enum Errors {
    #[serde(rename = "problem+json")]
    ProblemJson,
}

/// How the challenges of several schemes are sent.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ChallengeLines {
    /// In one `WWW-Authenticate` line, because nginx forwards only one.
    #[default]
    OneLine,
    /// In one line for each challenge, for clients that read only the first challenge of a line.
    Lines,
}

impl Profile {
    /// Returns the address header of the throttle, which clients must not be able to set.
    pub(crate) fn address_header(&self) -> Option<&str> {
        self.basic.as_ref().and_then(Basic::address_header)
    }

    /// Returns the route of this profile, and adds its issuers to `issuers`.
    pub(crate) fn route(
        &self,
        name: &str,
        dir: &Path,
        issuers: &mut Vec<IssuerKeys>,
    ) -> Result<MethodRouter, Fault> {
        // Proxies read only the HTTP status, so no request may select the 200 of a gRPC rejection.
        let schemes = self.schemes(name, dir, issuers)?;
        match (self.errors, self.challenges) {
            (None, ChallengeLines::OneLine) => {
                self.protected(schemes, JoinChallenges::new(HttpStatus::default()))
            }
            (None, ChallengeLines::Lines) => self.protected(schemes, HttpStatus::default()),
            (Some(Errors::ProblemJson), ChallengeLines::OneLine) => {
                self.protected(schemes, JoinChallenges::new(ProblemJson::default()))
            }
            (Some(Errors::ProblemJson), ChallengeLines::Lines) => {
                self.protected(schemes, ProblemJson::default())
            }
        }
    }

    fn schemes(
        &self,
        name: &str,
        dir: &Path,
        issuers: &mut Vec<IssuerKeys>,
    ) -> Result<Schemes, Fault> {
        let mut schemes: Vec<Arc<dyn Authenticator>> = Vec::new();
        if self.realm.as_deref().is_some_and(|realm| Challenge::basic(realm).is_err()) {
            return Err(Fault::new("realm", "must not contain a control character"));
        }
        if let Some(bearer) = &self.bearer {
            let verifiers = bearer.jwt_auths(name, self.realm.as_deref(), dir);
            let verifiers = verifiers.map_err(|fault| fault.within("bearer"))?;
            let keys =
                |tokens: &JwtAuth| IssuerKeys { profile: name.into(), tokens: tokens.clone() };
            issuers.extend(verifiers.iter().map(keys));
            let tokens = Issuers::new(verifiers);
            schemes.push(Arc::new(tokens.map_err(|error| Fault::new("bearer", error))?));
        }
        if let Some(basic) = &self.basic {
            let missing = || Fault::new("realm", "the table `basic` requires a realm");
            let realm = self.realm.as_deref().ok_or_else(missing)?;
            let passwords = basic.authenticator(realm, dir, self.method_header()?);
            schemes.push(passwords.map_err(|fault| fault.within("basic"))?.into());
        }
        if schemes.is_empty() {
            return Err(Fault::new("basic", "add a table `basic`, a table `bearer`, or both"));
        }
        Ok(AnyOf::from_iter(schemes))
    }

    fn protected<R>(&self, schemes: Schemes, responder: R) -> Result<MethodRouter, Fault>
    where
        R: Respond<Body> + Send + Sync + 'static,
    {
        let headers = self.headers.prepare()?;
        let mut handler = any(async move |caller: Option<Principal>| admit(&headers, caller));
        if let Some(require) = &self.require {
            handler = handler.layer(AuthorizeLayer::new(require.policy()?));
        }
        let authenticate = AuthenticateLayer::new(schemes).responder(responder);
        let authenticate = match self.preflight {
            Some(_) => authenticate.allow_cors_preflight(),
            None => authenticate,
        };
        let restore = map_request_with_state(self.method_header()?, subrequest::restore);
        Ok(handler.layer(authenticate).layer(restore))
    }

    /// Returns the header with the method of the client's request.
    fn method_header(&self) -> Result<HeaderName, Fault> {
        self.preflight.as_ref().map_or(Ok(subrequest::METHOD), Preflight::method_header)
    }
}

/// Describes the caller. Only a CORS preflight has none.
fn admit(headers: &CallerHeaders, caller: Option<Principal>) -> impl IntoResponse + use<> {
    let scheme = caller.as_ref().map(|caller| caller.scheme().as_str());
    tracing::debug!(scheme, "request admitted");
    let body = caller.as_ref().map(|caller| {
        json!({
            "subject": caller.subject(),
            "scheme": caller.scheme().as_str(),
            "scopes": caller.scopes().iter().collect::<Vec<_>>(),
            "issuer": caller.issuer(),
        })
    });
    (headers.of(caller.as_ref()), Json(body))
}
