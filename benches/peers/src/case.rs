use std::{convert::Infallible, future::Ready};

use futures_util::FutureExt;
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceExt, util::ServiceFn};
use tower_auth_test_support::token::{Signer, usual_claims};

use crate::{Row, Rows};

/// The key and the tokens of one algorithm.
pub struct Case {
    pub algorithm: &'static str,
    pub jwk: Value,
    /// A key set with only this key.
    pub jwks: String,
    pub token: String,
    valid_header: String,
    forged_header: String,
}

/// The claims, for crates that deserialize into a type of the user's choice.
#[derive(Clone, Debug, Deserialize)]
#[allow(dead_code)] // A handler would read them.
pub struct Claims {
    pub sub: String,
    pub exp: u64,
    pub scope: String,
}

pub type Inner<B> = ServiceFn<fn(Request<()>) -> Ready<Result<Response<B>, Infallible>>>;

/// Creates the inner service, which returns a response immediately.
pub(crate) fn inner<B: Default>() -> Inner<B> {
    tower::service_fn(|_| std::future::ready(Ok(Response::new(B::default()))))
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
        let token = signer.token(&claims);
        let forged = Signer::generate(algorithm, "1").token(&claims);
        Self {
            algorithm,
            jwk: signer.jwk(),
            jwks: json!({ "keys": [signer.jwk()] }).to_string(),
            valid_header: format!("Bearer {token}"),
            forged_header: format!("Bearer {forged}"),
            token,
        }
    }

    /// Returns the head of a request with a valid token.
    pub(crate) fn head(&self) -> http::request::Parts {
        request(Some(&self.valid_header)).into_parts().0
    }

    /// Adds the rows of a layer, after checking that it accepts valid tokens and rejects others.
    pub(crate) fn layer<L, S, B>(&self, rows: &mut impl Rows, name: &'static str, layer: L)
    where
        L: Layer<Inner<B>, Service = S>,
        S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
        B: Default,
    {
        let mut service = layer.layer(inner());
        self.valid_token(rows, name, &mut service);
        for (with, authorization) in [
            ("missing token", None),
            ("malformed token", Some("Bearer a.b")),
            ("signature of another key", Some(self.forged_header.as_str())),
        ] {
            let status = status_of(&mut service, authorization);
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{name}, {}, {with}", self.algorithm);
            if self.algorithm == "HS256" {
                rows.request(Row::new("rejected", with, name), &mut service, authorization);
            }
        }
    }

    /// Adds the row of a valid token.
    pub(crate) fn valid_token<S, B>(&self, rows: &mut impl Rows, name: &'static str, mut service: S)
    where
        S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
    {
        let status = status_of(&mut service, Some(&self.valid_header));
        assert_eq!(status, StatusCode::OK, "{name}, {}", self.algorithm);
        rows.request(Row::new("layer", self.algorithm, name), service, Some(&self.valid_header));
    }
}

/// Returns the status of the response of a service that completes at its first poll.
pub(crate) fn status_of<S, B>(service: S, authorization: Option<&str>) -> StatusCode
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
{
    service.oneshot(request(authorization)).now_or_never().unwrap().unwrap().status()
}
