use std::{convert::Infallible, future::Ready, hint::black_box};

use axum::body::Body;
use futures_util::FutureExt;
use http::{Request, Response, StatusCode};
use tower::{Layer, service_fn};
use tower_auth::{
    AuthenticateLayer, Authenticator, AuthorizeLayer, JwtAuth, Policy, Principal, RequireRoles,
    RequireScopes,
    jwt::{JwtAuthBuilder, Keys, TokenCache},
};
use tower_auth_test_support::token::{AUDIENCE, ISSUER, User};

use crate::{
    Case, Row, RowName,
    case::inner,
    row::call_row,
    whole::{ROLE, SCOPES, respond},
};

pub(crate) fn rows(case: &Case, rows: &mut Vec<Row>) {
    let tokens = builder(case).build().unwrap();
    decode(case, rows, "tower-auth", tokens.clone());
    let layer = AuthenticateLayer::new(tokens);
    case.layer::<_, _, Body>(rows, "tower-auth", layer.clone());
    whole(case, rows, "tower-auth", &layer);

    // The first request fills the cache.
    let cache = TokenCache::new(1 << 20).cache_hmac();
    let tokens = builder(case).cache(cache).build().unwrap();
    decode(case, rows, "tower-auth, cached", tokens.clone());
    let layer = AuthenticateLayer::new(tokens);
    case.valid_token(rows, "tower-auth, cached", layer.layer(inner::<Body>()));
    whole(case, rows, "tower-auth, cached", &layer);
}

fn decode(case: &Case, rows: &mut Vec<Row>, name: &'static str, tokens: JwtAuth) {
    let head = case.head();
    rows.push(call_row(RowName::new("decode", case.algorithm, name), move || {
        let future = tokens.authenticate(black_box(&head)).unwrap();
        future.now_or_never().unwrap().into_result().unwrap()
    }));
}

fn whole(
    case: &Case,
    rows: &mut Vec<Row>,
    name: &'static str,
    authenticate: &AuthenticateLayer<JwtAuth>,
) {
    let policy = RequireScopes::all(SCOPES).and(RequireRoles::any([ROLE]));
    let service = AuthorizeLayer::new(policy).layer(service_fn(handler));
    case.whole(rows, name, authenticate.layer(service));
}

fn handler(request: Request<()>) -> Ready<Result<Response<Body>, Infallible>> {
    let principal = request.extensions().get::<Principal>().unwrap();
    black_box(principal.claims_as::<User>().unwrap());
    respond(StatusCode::OK)
}

fn builder(case: &Case) -> JwtAuthBuilder {
    let keys = Keys::from_json(&case.jwks).unwrap();
    JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE)
}
