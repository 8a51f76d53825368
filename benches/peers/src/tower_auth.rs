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
    let jwt_auth = builder(case).build().unwrap();
    decode(case, rows, "tower-auth", &jwt_auth);
    case.layer::<_, _, Body>(rows, "tower-auth", AuthenticateLayer::new(jwt_auth));

    // The first request verifies the token. Later requests find it in the cache.
    let cache = TokenCache::new(1 << 20).cache_hmac();
    let jwt_auth = builder(case).cache(cache).build().unwrap();
    decode(case, rows, "tower-auth cached", &jwt_auth);
    let layer = AuthenticateLayer::new(jwt_auth);
    case.accepted(rows, "tower-auth cached", layer.layer(inner::<Body>()));
}

fn decode(case: &Case, rows: &mut impl Rows, name: &'static str, jwt_auth: &JwtAuth) {
    let head = case.head();
    rows.call(Row::new("decode", case.algorithm, name), || {
        let future = jwt_auth.authenticate(black_box(&head)).unwrap();
        future.now_or_never().unwrap().unwrap()
    });
}

fn builder(case: &Case) -> JwtAuthBuilder {
    let keys = Keys::from_json(&case.jwks).unwrap();
    JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE)
}
