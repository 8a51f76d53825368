use std::hint::black_box;

use axum::body::Body;
use futures_util::FutureExt;
use tower::Layer;
use tower_auth::{
    AuthenticateLayer, Authenticator, JwtAuth,
    jwt::{JwtAuthBuilder, Keys, TokenCache},
};
use tower_auth_test_support::token::{AUDIENCE, ISSUER};

use crate::{Case, Row, Rows, case::inner};

pub(crate) fn rows(case: &Case, rows: &mut impl Rows) {
    let tokens = builder(case).build().unwrap();
    decode(case, rows, "tower-auth", &tokens);
    case.layer::<_, _, Body>(rows, "tower-auth", AuthenticateLayer::new(tokens));

    // The first request fills the cache.
    let cache = TokenCache::new(1 << 20).cache_hmac();
    let tokens = builder(case).cache(cache).build().unwrap();
    decode(case, rows, "tower-auth, cached", &tokens);
    let layer = AuthenticateLayer::new(tokens);
    case.valid_token(rows, "tower-auth, cached", layer.layer(inner::<Body>()));
}

fn decode(case: &Case, rows: &mut impl Rows, name: &'static str, tokens: &JwtAuth) {
    let head = case.head();
    rows.call(Row::new("decode", case.algorithm, name), || {
        let future = tokens.authenticate(black_box(&head)).unwrap();
        future.now_or_never().unwrap().into_result().unwrap()
    });
}

fn builder(case: &Case) -> JwtAuthBuilder {
    let keys = Keys::from_json(&case.jwks).unwrap();
    JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE)
}
