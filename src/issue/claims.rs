use std::{error::Error, future::Future, sync::Arc};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{later::BoxFuture, one_or_many::OneOrMany};

/// For whom the claims closure is called: at a login, at each refresh, at each exchange, and for
/// each token of a client.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClaimsRequest {
    /// The subject of the token.
    pub subject: String,
    /// The issuer to which the subject belongs: this one, except at the
    /// [exchange](super::TokenIssuer::exchange) of a token of another issuer.
    pub issuer: String,
    /// The client that gets the token.
    pub client_id: String,
    /// The services that accept the token.
    pub audience: Vec<String>,
    /// The scopes that were granted at the login, or that were requested otherwise.
    pub scopes: Vec<String>,
    /// Whether this is a refresh.
    pub is_refresh: bool,
    /// Whether this is an [exchange](super::TokenIssuer::exchange). The client then acts for the
    /// subject.
    pub is_exchange: bool,
    /// Whether the subject is a [client](super::TokenIssuer::issue_to_client), and not a user.
    pub is_client: bool,
}

/// The claims that a service adds to an access token.
///
/// ```
/// use tower_auth::issue::AccessClaims;
///
/// #[derive(serde::Serialize)]
/// struct Custom {
///     roles: Vec<String>,
/// }
///
/// let claims = AccessClaims::new(&Custom { roles: vec!["admin".into()] });
/// ```
#[derive(Clone, Debug)]
pub struct AccessClaims {
    pub(super) custom: Result<Map<String, Value>, &'static str>,
    pub(super) scopes: Option<Vec<String>>,
}

/// The claims that the issuer sets itself.
const RESERVED: [&str; 18] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "sid",
    "fst",
    "client_id",
    "scope",
    "auth_time",
    "acr",
    "amr",
    "cnf",
    "act",
    "events",
    "nonce",
];

impl AccessClaims {
    /// Returns those of the scopes that the closure allows.
    pub(super) fn limit(&self, scopes: &[String]) -> Vec<String> {
        let is_allowed =
            |scope: &&String| self.scopes.as_ref().is_none_or(|allowed| allowed.contains(scope));
        scopes.iter().filter(is_allowed).cloned().collect()
    }

    /// Adds the members of a value, such as a struct.
    ///
    /// It must serialize to a JSON object. Its members must not be claims that the issuer sets:
    /// `iss`, `sub`, `aud`, `exp`, `nbf`, `iat`, `jti`, `sid`, `fst`, `client_id`, `scope`,
    /// `auth_time`, `acr`, `amr`, `cnf`, `act`, `events` and `nonce`. The access token must not be
    /// longer than 16 KiB. Otherwise, no tokens are issued, and the error says so.
    ///
    /// With `may_act`, such as `{"sub":"orders"}`, only this client can
    /// [exchange](super::TokenIssuer::exchange) the token (RFC 8693 §4.4).
    pub fn new(claims: &impl Serialize) -> Self {
        let custom = match serde_json::to_value(claims) {
            Ok(Value::Object(members))
                if RESERVED.iter().any(|name| members.contains_key(*name)) =>
            {
                Err("the claims closure sets a claim that the issuer sets: rename it, see \
                     AccessClaims::new")
            }
            Ok(Value::Object(members)) => Ok(members),
            _ => Err("the claims do not serialize to a JSON object: pass a struct or a map"),
        };
        Self { custom, scopes: None }
    }

    /// Adds no claims.
    pub fn none() -> Self {
        Self { custom: Ok(Map::new()), scopes: None }
    }

    /// Limits the scopes of the access token to these, for example after a user has lost a role.
    /// Scopes that are not in [`ClaimsRequest::scopes`] are ignored.
    #[must_use]
    pub fn scopes<K>(mut self, scopes: impl OneOrMany<str, K>) -> Self {
        self.scopes = Some(scopes.values().map(|scope| scope.as_ref().to_owned()).collect());
        self
    }
}

/// The result of a claims closure.
pub(super) type ClaimsResult = Result<Option<AccessClaims>, Box<dyn Error + Send + Sync>>;

pub(super) type ClaimsFn =
    Arc<dyn Fn(ClaimsRequest) -> BoxFuture<'static, ClaimsResult> + Send + Sync>;

/// Boxes a claims closure.
pub(super) fn claims_fn<F, Q, E>(closure: F) -> ClaimsFn
where
    F: Fn(ClaimsRequest) -> Q + Send + Sync + 'static,
    Q: Future<Output = Result<Option<AccessClaims>, E>> + Send + 'static,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    Arc::new(move |request| {
        let claims = closure(request);
        Box::pin(async move { claims.await.map_err(Into::into) })
    })
}
