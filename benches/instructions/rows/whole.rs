//! Whole requests: a token, a policy with two scopes and a role, and six claims in the handler.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
};

use http::{Request, Response, StatusCode};
use metrics_exporter_prometheus::PrometheusBuilder;
use tower::{Layer, service_fn};
use tower_auth::{
    AuthenticateLayer, AuthorizeLayer, JwtAuth, Policy, Principal, RequireRoles, RequireScopes,
    jwt::{JwtAuthBuilder, TokenCache},
    observe::{self, Metrics},
};
use tower_auth_test_support::token::{ISSUER, User};

use crate::{
    bearer::{AcceptAnySignature, bearer, builder, fixed_token},
    prepared::{Body, PreparedRequest},
};

fn handler(request: Request<()>) -> Ready<Result<Response<Body>, Infallible>> {
    let principal = request.extensions().get::<Principal>().unwrap();
    black_box(principal.claims_as::<User>().unwrap());
    ready(Ok(Response::new(Body::default())))
}

fn prepare(
    algorithm: &'static str,
    configure: impl FnOnce(JwtAuthBuilder) -> JwtAuthBuilder,
) -> PreparedRequest {
    let (jwk, token) = fixed_token(algorithm);
    let authenticate = AuthenticateLayer::new(configure(builder(&[jwk])).build().unwrap());
    send_through(authenticate, &token)
}

fn send_through(authenticate: AuthenticateLayer<JwtAuth>, token: &str) -> PreparedRequest {
    let scopes = RequireScopes::all(["orders:read", "orders:write"]);
    let authorize = AuthorizeLayer::new(scopes.and(RequireRoles::any(["user"])));
    let service = authenticate.layer(authorize.layer(service_fn(handler)));
    PreparedRequest::new(service, Some(&bearer(token)), StatusCode::OK)
}

pub(crate) fn uncached(algorithm: &'static str) -> PreparedRequest {
    prepare(algorithm, |builder| builder)
}

pub(crate) fn cached(algorithm: &'static str) -> PreparedRequest {
    prepare(algorithm, |builder| builder.cache(TokenCache::new(1 << 20).cache_hmac()))
}

fn metrics() -> Metrics {
    let recorder = PrometheusBuilder::new().build_recorder();
    Metrics::builder().issuers(ISSUER).recorder(recorder).build()
}

/// Prepares a request whose two decisions are counted. Each row has a process of its own.
pub(crate) fn counted_by_default(algorithm: &'static str) -> PreparedRequest {
    observe::set_default(metrics()).unwrap();
    cached(algorithm)
}

/// The same, with an observer that the layer passes on.
pub(crate) fn counted_by_layer(algorithm: &'static str) -> PreparedRequest {
    let (jwk, token) = fixed_token(algorithm);
    let tokens = builder(&[jwk]).cache(TokenCache::new(1 << 20).cache_hmac()).build().unwrap();
    send_through(AuthenticateLayer::new(tokens).observer(metrics()), &token)
}

/// Prepares a request without the signature verification, which would hide changes of the rest.
pub(crate) fn unverified() -> PreparedRequest {
    prepare("RS256", |builder| builder.backend(AcceptAnySignature))
}
