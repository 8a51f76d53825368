//! Tests of tower-auth with each combination of the crypto backends of jsonwebtoken.
//!
//! jsonwebtoken panics at its first use if a program enables both of its backends, or neither.
//! Cargo unifies features, so a dependency can cause this. tower-auth must work in every case:
//!
//! ```text
//! cargo test --manifest-path tests/backends/Cargo.toml
//! cargo test --manifest-path tests/backends/Cargo.toml --features aws_lc_rs
//! cargo test --manifest-path tests/backends/Cargo.toml --features rust_crypto
//! cargo test --manifest-path tests/backends/Cargo.toml --features aws_lc_rs,rust_crypto
//! ```
#![cfg(test)]

use std::panic::catch_unwind;

use futures_util::FutureExt as _;
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, errors::ErrorKind, jwk::JwkSet,
};
use serde_json::{Value, json};
use tower_auth::{
    Authenticator as _, JwtAuth,
    jwt::{JwtAuthBuilder, Keys},
    test_util::{TestToken, TokenMint},
};
use tower_auth_test_support::{ROOT, token::Signer};

const SECRET: [u8; 64] = [7; 64];
const BACKEND_COUNT: usize =
    cfg!(feature = "aws_lc_rs") as usize + cfg!(feature = "rust_crypto") as usize;

fn claims() -> Value {
    json!({ "iss": "i", "aud": "a", "sub": "alice", "exp": 4_102_444_800_u64 })
}

fn verified_subject(builder: JwtAuthBuilder, token: &str) -> Option<String> {
    let tokens = builder.issuer("i").audience("a").build().unwrap();
    let request = http::Request::builder().header("authorization", format!("Bearer {token}"));
    let head = request.body(()).unwrap().into_parts().0;
    let result = tokens.authenticate(&head).unwrap().now_or_never().unwrap().into_result();
    result.ok().map(|caller| caller.subject().to_owned())
}

#[test]
fn tower_auth_verifies_with_any_jsonwebtoken_backends() {
    let token = Signer::secret("HS512", None, &SECRET).token(&claims());
    let (message, _signature) = token.rsplit_once('.').unwrap();

    let builder =
        || JwtAuth::builder(Keys::new(Algorithm::HS512, DecodingKey::from_secret(&SECRET)));
    assert_eq!(verified_subject(builder(), &token).as_deref(), Some("alice"));
    assert_eq!(verified_subject(builder(), &format!("{message}.AAAA")), None);
}

/// Reads a key set of mixed families and verifies one token for each algorithm.
#[test]
fn key_set_is_read_with_any_jsonwebtoken_backends() {
    let path = format!("{ROOT}/tests/fixtures/foreign_tokens.json");
    let foreign: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let keys = Keys::from_json(foreign["jwks"].to_string()).unwrap();
    for (algorithm, token) in foreign["tokens"].as_object().unwrap() {
        let builder = JwtAuth::builder(keys.clone());
        let tokens = builder
            .issuer("https://issuer.example")
            .audience("https://api.example")
            .build()
            .unwrap();
        let field = format!("Bearer {}", token.as_str().unwrap());
        let request = http::Request::builder().header("authorization", field).body(()).unwrap();
        let result = tokens
            .authenticate(&request.into_parts().0)
            .unwrap()
            .now_or_never()
            .unwrap()
            .into_result();
        assert!(result.is_ok(), "{algorithm}");
    }
}

#[test]
fn jsonwebtoken_signs_with_exactly_one_backend() {
    let header = Header::new(Algorithm::HS512);
    let encode = || {
        let key = EncodingKey::from_secret(&SECRET);
        jsonwebtoken::encode(&header, &claims(), &key).unwrap()
    };
    match (BACKEND_COUNT, catch_unwind(encode)) {
        (1, Ok(token)) => {
            let keys = Keys::new(Algorithm::HS512, DecodingKey::from_secret(&SECRET));
            assert_eq!(verified_subject(JwtAuth::builder(keys), &token).as_deref(), Some("alice"));
        }
        (0 | 2, Err(_)) => {} // jsonwebtoken panics
        (backends, outcome) => panic!("{backends} backends: {outcome:?}"),
    }
}

#[test]
fn jsonwebtoken_verifies_tokens_of_token_mint() {
    use Algorithm as A;
    if BACKEND_COUNT != 1 {
        return;
    }
    for algorithm in [
        [A::RS256, A::RS384, A::RS512],
        [A::PS256, A::PS384, A::PS512],
        [A::HS256, A::HS384, A::HS512],
        [A::ES256, A::ES384, A::EdDSA],
    ]
    .concat()
    {
        let mint = TokenMint::new("i").algorithm(algorithm);
        let keys: JwkSet = serde_json::from_str(&mint.jwks()).unwrap();
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&["a"]);
        validation.set_issuer(&["i"]);
        let subject = |token: &TestToken| {
            let token = token.sign();
            let header = jsonwebtoken::decode_header(&token).unwrap();
            let jwk = keys.find(header.kid.as_deref().unwrap()).unwrap();
            let key = DecodingKey::from_jwk(jwk).unwrap();
            jsonwebtoken::decode::<Value>(&token, &key, &validation)
                .map(|token| token.claims["sub"].clone())
        };
        let valid = mint.token("alice").audience("a");
        assert_eq!(subject(&valid).unwrap(), "alice", "{algorithm:?}");
        let error_kind = |token: TestToken| subject(&token).unwrap_err().into_kind();
        assert_eq!(error_kind(valid.clone().signed_by_unknown_key()), ErrorKind::InvalidSignature);
        assert_eq!(error_kind(valid.expired()), ErrorKind::ExpiredSignature);
    }
}
