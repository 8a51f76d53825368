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
    /// A key set that contains only this key.
    pub jwks: String,
    pub token: String,
    valid: String,
    forged: String,
}

/// The claims type for the crates that let users choose one.
#[derive(Clone, Debug, Deserialize)]
#[allow(dead_code)] // a handler would read the fields
pub struct Claims {
    pub sub: String,
    pub exp: u64,
    pub scope: String,
}

pub type Inner<B> = ServiceFn<fn(Request<()>) -> Ready<Result<Response<B>, Infallible>>>;

/// Returns a service that responds immediately.
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
            valid: format!("Bearer {token}"),
            forged: format!("Bearer {forged}"),
            token,
        }
    }

    /// Returns the head of a request with the valid token.
    pub(crate) fn head(&self) -> http::request::Parts {
        request(Some(&self.valid)).into_parts().0
    }

    /// Measures a layer, after checking that it accepts the valid token and rejects the forged one.
    pub(crate) fn layer<L, S, B>(&self, rows: &mut impl Rows, name: &'static str, layer: L)
    where
        L: Layer<Inner<B>, Service = S>,
        S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
        B: Default,
    {
        let mut service = layer.layer(inner());
        self.accepted(rows, name, &mut service);
        for (variant, authorization) in [
            ("missing", None),
            ("malformed", Some("Bearer a.b")),
            ("forged", Some(self.forged.as_str())),
        ] {
            let status = send(&mut service, authorization);
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{name}, {}, {variant}", self.algorithm);
            if self.algorithm == "HS256" {
                rows.request(Row::new("rejected", variant, name), &mut service, authorization);
            }
        }
    }

    /// Measures a request with the valid token.
    pub(crate) fn accepted<S, B>(&self, rows: &mut impl Rows, name: &'static str, mut service: S)
    where
        S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
    {
        let status = send(&mut service, Some(&self.valid));
        assert_eq!(status, StatusCode::OK, "{name}, {}", self.algorithm);
        rows.request(Row::new("layer", self.algorithm, name), service, Some(&self.valid));
    }
}

/// Sends a request and returns the response status. The response must be ready at the first poll.
pub(crate) fn send<S, B>(service: S, authorization: Option<&str>) -> StatusCode
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
{
    service.oneshot(request(authorization)).now_or_never().unwrap().unwrap().status()
}
