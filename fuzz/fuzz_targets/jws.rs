//! Authenticates any token against one key per algorithm family.
//!
//! No seed is signed with these keys, so every token is rejected.
#![no_main]

use std::sync::LazyLock;

use aws_lc_rs::{
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair as _, RsaPublicKeyComponents,
    },
};
use futures_util::FutureExt as _;
use http::{HeaderValue, Request, header::AUTHORIZATION};
use libfuzzer_sys::fuzz_target;
use tower_auth::{
    Authenticator as _, JwtAuth,
    jwt::{Algorithm, DecodingKey, Keys},
};

/// Keys with the ids of the keys in `tests/cases`, but different key material.
///
/// The claims of the seeds are valid, and issuer, audience and type are not checked, so a seed is
/// rejected only because of its signature.
static TOKENS: LazyLock<JwtAuth> = LazyLock::new(|| {
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa = RsaPublicKeyComponents::<Vec<u8>>::from(rsa.public_key());
    let rsa = DecodingKey::from_rsa_raw_components(&rsa.n, &rsa.e);
    let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    let ed = Ed25519KeyPair::generate().unwrap();
    let ec = |point: &[u8]| DecodingKey::from_ec_der(point);
    let keys = Keys::named("rsa1", Algorithm::RS256, rsa.clone())
        .and(Keys::named("ps1", Algorithm::PS256, rsa))
        .and(Keys::named("ec1", Algorithm::ES256, ec(p256.public_key().as_ref())))
        .and(Keys::named("ec384", Algorithm::ES384, ec(p384.public_key().as_ref())))
        .and(Keys::named(
            "ed1",
            Algorithm::EdDSA,
            DecodingKey::from_ed_der(ed.public_key().as_ref()),
        ))
        .and(Keys::hs256(&[7; 32]).with_id("hs1"));
    let builder = JwtAuth::builder(keys).dangerous_any_issuer().dangerous_any_audience();
    builder.dangerous_any_token_type().build().unwrap()
});

fuzz_target!(|token: &[u8]| {
    let field = [b"Bearer ", token].concat();
    let Ok(value) = HeaderValue::from_bytes(&field) else { return };
    let head = Request::builder().header(AUTHORIZATION, value).body(()).unwrap().into_parts().0;
    let result = TOKENS.authenticate(&head).unwrap().now_or_never().unwrap();
    assert!(result.into_result().is_err());
});
