use std::convert::Infallible;

use futures_util::FutureExt;
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceExt, util::ServiceFn};
use tower_auth_test_support::token::{Signer, usual_claims};

use crate::{
    Row, RowName,
    row::request_row,
    whole::{ROLE, SCOPES, respond},
};

/// The key and the tokens of one algorithm.
pub struct Case {
    pub algorithm: &'static str,
    pub jwk: Value,
    /// A key set with only this key.
    pub jwks: String,
    pub token: String,
    valid_header: String,
    forged_header: String,
    missing_scope_header: String,
    missing_role_header: String,
}

/// The claims of the `decode` and `layer` rows, for crates that deserialize into a type of the
/// user's choice.
#[derive(Clone, Debug, Deserialize)]
#[allow(dead_code)] // A handler would read them.
pub struct Claims {
    pub sub: String,
    pub exp: u64,
    pub scope: String,
}

pub type Inner<B> =
    ServiceFn<fn(Request<()>) -> std::future::Ready<Result<Response<B>, Infallible>>>;

/// Creates the inner service, which returns a response immediately.
pub(crate) fn inner<B: Default>() -> Inner<B> {
    tower::service_fn(|_| respond(StatusCode::OK))
}

#[must_use]
pub fn request(authorization: Option<&str>) -> Request<()> {
    let mut request = Request::new(());
    if let Some(value) = authorization {
        request.headers_mut().insert(AUTHORIZATION, value.parse().unwrap());
    }
    request
}

impl Case {
    pub(crate) fn new(algorithm: &'static str) -> Self {
        let signer = Signer::generate(algorithm, "1");
        let claims = usual_claims();
        let bearer = |signer: &Signer, claims: &Value| format!("Bearer {}", signer.token(claims));
        let with = |name: &str, value: Value| {
            let mut claims = claims.clone();
            claims[name] = value;
            bearer(&signer, &claims)
        };
        let valid_header = bearer(&signer, &claims);
        Self {
            algorithm,
            jwk: signer.jwk(),
            jwks: json!({ "keys": [signer.jwk()] }).to_string(),
            token: valid_header["Bearer ".len()..].to_owned(),
            forged_header: bearer(&Signer::generate(algorithm, "1"), &claims),
            missing_scope_header: with("scope", json!(format!("openid profile {}", SCOPES[0]))),
            missing_role_header: with("roles", json!([format!("{ROLE}2")])),
            valid_header,
        }
    }

    /// Returns the head of a request with a valid token.
    pub(crate) fn head(&self) -> http::request::Parts {
        request(Some(&self.valid_header)).into_parts().0
    }

    /// Adds the row of the inner service alone.
    pub(crate) fn bare(&self, rows: &mut Vec<Row>) {
        let name = RowName::new("baseline", self.algorithm, "bare");
        let service = inner::<axum::body::Body>();
        rows.push(request_row(name, service, Some(&self.valid_header)));
    }

    /// Adds the rows of a layer, after checking that it accepts valid tokens and rejects others.
    pub(crate) fn layer<L, S, B>(&self, rows: &mut Vec<Row>, name: &'static str, layer: L)
    where
        L: Layer<Inner<B>, Service = S>,
        S: Service<Request<()>, Response = Response<B>, Error = Infallible> + Clone + 'static,
        B: Default,
    {
        let service = layer.layer(inner());
        self.valid_token(rows, name, service.clone());
        for (with, authorization) in [
            ("missing token", None),
            ("malformed token", Some("Bearer a.b")),
            ("signature of another key", Some(self.forged_header.as_str())),
        ] {
            self.expect(name, service.clone(), authorization, StatusCode::UNAUTHORIZED);
            if self.algorithm == "HS256" {
                let name = RowName::new("rejected", with, name);
                rows.push(request_row(name, service.clone(), authorization));
            }
        }
    }

    /// Adds the row of a valid token.
    pub(crate) fn valid_token<S, B>(&self, rows: &mut Vec<Row>, name: &'static str, service: S)
    where
        S: Service<Request<()>, Response = Response<B>, Error = Infallible> + Clone + 'static,
    {
        let valid = Some(self.valid_header.as_str());
        self.expect(name, service.clone(), valid, StatusCode::OK);
        rows.push(request_row(RowName::new("layer", self.algorithm, name), service, valid));
    }

    /// Adds the row of a whole request, after checking that the service rejects tokens without a
    /// scope, without the role, and with an invalid signature.
    pub(crate) fn whole<S, B>(&self, rows: &mut Vec<Row>, name: &'static str, service: S)
    where
        S: Service<Request<()>, Response = Response<B>, Error = Infallible> + Clone + 'static,
    {
        let valid = Some(self.valid_header.as_str());
        for (authorization, status) in [
            (valid, StatusCode::OK),
            (Some(&self.missing_scope_header), StatusCode::FORBIDDEN),
            (Some(&self.missing_role_header), StatusCode::FORBIDDEN),
            (Some(&self.forged_header), StatusCode::UNAUTHORIZED),
            (None, StatusCode::UNAUTHORIZED),
        ] {
            self.expect(name, service.clone(), authorization, status);
        }
        rows.push(request_row(RowName::new("whole", self.algorithm, name), service, valid));
    }

    fn expect<S, B>(
        &self,
        name: &str,
        service: S,
        authorization: Option<&str>,
        expected: StatusCode,
    ) where
        S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
    {
        let status = status_of(service, authorization);
        assert_eq!(status, expected, "{name}, {}, {authorization:?}", self.algorithm);
    }
}

/// Returns the status of the response of a service that completes at its first poll.
pub(crate) fn status_of<S, B>(service: S, authorization: Option<&str>) -> StatusCode
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
{
    service.oneshot(request(authorization)).now_or_never().unwrap().unwrap().status()
}
