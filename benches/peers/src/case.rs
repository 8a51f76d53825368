use std::{convert::Infallible, future::Ready};

use futures_util::FutureExt;
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceExt, util::ServiceFn};
use tower_auth_test_support::token::{Signer, usual_claims};

use crate::{Row, Rows};

/// One algorithm: its key, and what is sent.
pub struct Case {
    pub algorithm: &'static str,
    pub jwk: Value,
    /// A key set of this one key.
    pub jwks: String,
    pub token: String,
    good: String,
    forged: String,
}

/// What those read from a token who let a user choose.
#[derive(Clone, Debug, Deserialize)]
#[allow(dead_code)] // Read by whom they are made for.
pub struct Claims {
    pub sub: String,
    pub exp: u64,
    pub scope: String,
}

pub type Inner<B> = ServiceFn<fn(Request<()>) -> Ready<Result<Response<B>, Infallible>>>;

/// Answers at once.
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
            good: format!("Bearer {token}"),
            forged: format!("Bearer {forged}"),
            token,
        }
    }

    /// The request's head of a good token.
    pub(crate) fn head(&self) -> http::request::Parts {
        request(Some(&self.good)).into_parts().0
    }

    /// One layer's rows, once it has told a good token from a forged one.
    pub(crate) fn layer<L, S, B>(&self, rows: &mut impl Rows, name: &'static str, layer: L)
    where
        L: Layer<Inner<B>, Service = S>,
        S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
        B: Default,
    {
        let mut service = layer.layer(inner());
        self.admitted(rows, name, &mut service);
        for (with, authorization) in [
            ("missing", None),
            ("malformed", Some("Bearer a.b")),
            ("forged", Some(self.forged.as_str())),
        ] {
            let status = answer(&mut service, authorization);
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{name}, {}, {with}", self.algorithm);
            if self.algorithm == "HS256" {
                rows.request(Row::new("refused", with, name), &mut service, authorization);
            }
        }
    }

    /// The row of a good token.
    pub(crate) fn admitted<S, B>(&self, rows: &mut impl Rows, name: &'static str, mut service: S)
    where
        S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
    {
        let status = answer(&mut service, Some(&self.good));
        assert_eq!(status, StatusCode::OK, "{name}, {}", self.algorithm);
        rows.request(Row::new("layer", self.algorithm, name), service, Some(&self.good));
    }
}

/// What a service answers, at its first poll.
pub(crate) fn answer<S, B>(service: S, authorization: Option<&str>) -> StatusCode
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
{
    service.oneshot(request(authorization)).now_or_never().unwrap().unwrap().status()
}
