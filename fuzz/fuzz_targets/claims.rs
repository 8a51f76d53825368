//! Any payload under a good signature: what is admitted is what the claims say, read by another parser.
#![no_main]

use std::{
    sync::LazyLock,
    time::{Duration, UNIX_EPOCH},
};

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::FutureExt as _;
use http::{Request, header::AUTHORIZATION};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tower_auth::{
    Authenticator as _, JwtAuth,
    jwt::{Algorithm, DecodingKey, Keys},
};

const SECRET: [u8; 32] = [7; 32];
const NOW: u64 = 1_800_000_000;

static TOKENS: LazyLock<JwtAuth> = LazyLock::new(|| {
    let keys = Keys::new(Algorithm::HS256, DecodingKey::from_secret(&SECRET));
    let builder = JwtAuth::builder(keys).issuer("https://issuer.example");
    let builder = builder.audience("https://api.example").require_claim("jti");
    builder
        .clock(|| UNIX_EPOCH + Duration::from_secs(NOW))
        .max_token_bytes(1 << 20)
        .build()
        .unwrap()
});

fuzz_target!(|payload: &[u8]| {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload));
    let key = hmac::Key::new(hmac::HMAC_SHA256, &SECRET);
    let tag = URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()));
    let field = format!("Bearer {message}.{tag}");
    let head = Request::builder().header(AUTHORIZATION, field).body(()).unwrap().into_parts().0;
    let answer = TOKENS.authenticate(&head).map(|answer| answer.now_or_never().unwrap());
    let Ok(caller) = answer.unwrap() else { return };

    let claims: Value = serde_json::from_slice(payload).unwrap();
    assert_eq!(claims["iss"], "https://issuer.example");
    let ours = |aud: &Value| aud == "https://api.example";
    assert!(ours(&claims["aud"]) || claims["aud"].as_array().unwrap().iter().any(ours));
    assert!(claims["exp"].as_f64().unwrap() + 60.0 > NOW as f64);
    assert!(claims["nbf"].as_f64().is_none_or(|nbf| nbf <= NOW as f64 + 60.0));
    assert_eq!(claims["sub"], caller.subject());
    assert!(!claims["jti"].is_null());
    if let Some(scope) = claims["scope"].as_str() {
        assert!(caller.scopes().iter().eq(scope.split(' ').filter(|scope| !scope.is_empty())));
    }
    assert_eq!(caller.claims::<Value>().unwrap(), claims);
});
