//! Authenticates any token against several issuers. Nothing panics, and every token is rejected.
#![no_main]

use std::sync::LazyLock;

use futures_util::FutureExt;
use http::{Request, header::AUTHORIZATION};
use libfuzzer_sys::fuzz_target;
use tower_auth::{
    Authenticator, JwtAuth,
    jwt::{Issuers, Keys},
};

static ISSUERS: LazyLock<Issuers> = LazyLock::new(|| {
    // The secret is random, so no input can have a valid signature.
    let mut secret = [0; 32];
    aws_lc_rs::rand::fill(&mut secret).unwrap();
    let validators = ["https://issuer.example", "https://other.example"].map(|issuer| {
        let keys = Keys::hs256(&secret);
        JwtAuth::builder(keys).issuer(issuer).audience("a").build().unwrap()
    });
    Issuers::new(validators).unwrap()
});

fuzz_target!(|token: &[u8]| {
    let field = [b"Bearer ", token].concat();
    let Ok(request) = Request::builder().header(AUTHORIZATION, &field[..]).body(()) else { return };
    let result = ISSUERS.authenticate(&request.into_parts().0).unwrap();
    assert!(result.now_or_never().unwrap().into_result().is_err());
});
