//! Any token, against keys of each family: none is admitted, since none was signed.
#![no_main]

use std::sync::LazyLock;

use futures_util::FutureExt as _;
use http::{HeaderValue, Request, header::AUTHORIZATION};
use libfuzzer_sys::fuzz_target;
use tower_auth::{Authenticator as _, JwtAuth, jwt::Keys};

/// The public keys of the cases, with audience and issuer that no case has: their tokens are seeds.
static TOKENS: LazyLock<JwtAuth> = LazyLock::new(|| {
    let keys = Keys::from_json(include_str!("../../tests/cases/jwks.json")).unwrap();
    JwtAuth::builder(keys).issuer("nobody").audience("nobody").build().unwrap()
});

fuzz_target!(|token: &[u8]| {
    let field = [b"Bearer ", token].concat();
    let Ok(value) = HeaderValue::from_bytes(&field) else { return };
    let head = Request::builder().header(AUTHORIZATION, value).body(()).unwrap().into_parts().0;
    let answer = TOKENS.authenticate(&head).map(|answer| answer.now_or_never().unwrap());
    assert!(answer.unwrap().is_err());
});
