//! Authenticates a correctly signed token with any payload.
//!
//! The principal of an accepted token must match the claims. A token that is valid according to the
//! independent parser must be accepted.
#![no_main]

#[path = "../src/unique_names.rs"]
mod unique_names;

use std::{
    sync::LazyLock,
    time::{Duration, UNIX_EPOCH},
};

use futures_util::FutureExt as _;
use http::{Request, header::AUTHORIZATION};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tower_auth::{Authenticator as _, JwtAuth, Principal, jwt::Keys};
use tower_auth_test_support::token::{AUDIENCE, ISSUER, Signer, encode};

use self::unique_names::{UniqueNames, depth};

const SECRET: [u8; 32] = [7; 32];
const NOW: u64 = 1_800_000_000;

static SIGNER: LazyLock<Signer> = LazyLock::new(|| Signer::secret("HS256", None, &SECRET));

static TOKENS: LazyLock<JwtAuth> = LazyLock::new(|| {
    let keys = Keys::hs256(&SECRET);
    let builder = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE).require_claim("jti");
    builder
        .clock(|| UNIX_EPOCH + Duration::from_secs(NOW))
        .max_token_bytes(1 << 20)
        .build()
        .unwrap()
});

fuzz_target!(|payload: &[u8]| {
    let token = SIGNER.sign(&encode(r#"{"alg":"HS256"}"#), &encode(payload));
    let field = format!("Bearer {token}");
    let head = Request::builder().header(AUTHORIZATION, field).body(()).unwrap().into_parts().0;
    let result = TOKENS.authenticate(&head).unwrap().now_or_never().unwrap();
    match (result.into_result(), serde_json::from_slice::<UniqueNames>(payload)) {
        (Ok(caller), Ok(UniqueNames(claims))) => assert_matches(&caller, &claims),
        (Ok(_), Err(error)) => panic!("accepted a malformed payload: {error}"),
        (Err(error), Ok(UniqueNames(claims))) => {
            assert!(
                !is_valid(&claims),
                "rejected valid claims: {:?}",
                std::error::Error::source(&error)
            );
        }
        (Err(_), Err(_)) => {}
    }
});

fn assert_matches(caller: &Principal, claims: &Value) {
    assert_eq!(claims["iss"], ISSUER);
    let is_expected = |aud: &Value| aud == AUDIENCE;
    let aud = &claims["aud"];
    assert!(is_expected(aud) || aud.as_array().unwrap().iter().any(is_expected));
    assert!(claims["exp"].as_f64().unwrap() + 60.0 > NOW as f64);
    assert!(claims["nbf"].as_f64().is_none_or(|nbf| nbf <= NOW as f64 + 60.0));
    assert_eq!(claims["sub"], caller.subject());
    assert!(!claims["jti"].is_null());
    if let Some(scope) = claims["scope"].as_str() {
        assert!(caller.scopes().iter().eq(scope.split(' ').filter(|scope| !scope.is_empty())));
    }
    assert_eq!(&*caller.claims_as::<Value>().unwrap(), claims);
    for (name, value) in claims.as_object().unwrap() {
        let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        assert_eq!(&caller.claim::<Value>(&pointer).unwrap(), value);
        if !name.starts_with('/') {
            assert_eq!(&caller.claim::<Value>(name).unwrap(), value);
        }
    }
}

/// Returns whether the claims are valid according to the strictest interpretation of each claim.
fn is_valid(claims: &Value) -> bool {
    let has_text = |name: &str| claims[name].as_str().is_some_and(|text| !text.is_empty());
    let date = |name: &str| match claims.get(name) {
        None => Some(None),
        Some(date) => date.as_u64().filter(|date| *date < 1 << 53).map(Some),
    };
    let starts = |name: &str| date(name).is_some_and(|start| start.is_none_or(|at| at <= NOW));
    claims["iss"] == ISSUER
        && claims["aud"] == AUDIENCE
        && has_text("sub")
        && has_text("jti")
        && date("exp").is_some_and(|end| end.is_some_and(|end| end > NOW))
        && starts("nbf")
        && starts("iat")
        && (claims.get("scope").is_none() || claims["scope"].is_string())
        && depth(claims) < 20
}
