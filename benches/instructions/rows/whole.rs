//! Whole requests: a token, a policy with two scopes and a role, and six claims in the handler.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
};

use http::{Request, Response, StatusCode};
use tower::{Layer, service_fn};
use tower_auth::{
    AuthenticateLayer, AuthorizeLayer, Policy, Principal, RequireRoles, RequireScopes,
    jwt::{JwtAuthBuilder, TokenCache},
};
use tower_auth_test_support::token::User;

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
    let scopes = RequireScopes::all(["orders:read", "orders:write"]);
    let authorize = AuthorizeLayer::new(scopes.and(RequireRoles::any(["user"])));
    let service = authenticate.layer(authorize.layer(service_fn(handler)));
    PreparedRequest::new(service, Some(&bearer(&token)), StatusCode::OK)
}

pub(crate) fn uncached(algorithm: &'static str) -> PreparedRequest {
    prepare(algorithm, |builder| builder)
}

pub(crate) fn cached(algorithm: &'static str) -> PreparedRequest {
    prepare(algorithm, |builder| builder.cache(TokenCache::new(1 << 20).cache_hmac()))
}

/// Prepares a request without the signature verification, which would hide changes of the rest.
pub(crate) fn unverified() -> PreparedRequest {
    prepare("RS256", |builder| builder.backend(AcceptAnySignature))
}
