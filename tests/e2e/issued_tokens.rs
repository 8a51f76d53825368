//! Our access tokens, verified by libraries of other languages with the published keys.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use axum::Router;
use serde_json::Value;
use tokio::process::Command;
use tower_auth::{
    Principal, Scheme,
    clock::{Clock, SystemClock},
    issue::{Grant, SigningKeys, TokenIssuer},
    store::SealedStore,
    test_util::TestClock,
};
use tower_auth_test_support::{
    ROOT,
    api::Api,
    has_node,
    provider::{has_python, python, token_part},
    skip,
};

const ISSUER: &str = "https://login.example";
const AUDIENCE: &str = "orders";

/// The algorithms of the signatures.
fn algorithms() -> [(&'static str, SigningKeys); 3] {
    [
        ("EdDSA", SigningKeys::eddsa()),
        ("ES256", SigningKeys::es256()),
        ("RS256", SigningKeys::rs256()),
    ]
}

/// Issues tokens of alice. The first two are valid: that of a login, and the one that a service has
/// exchanged it for. The others are not.
async fn tokens(keys: &SigningKeys, store: &SealedStore) -> (TokenIssuer, [String; 6]) {
    let issuer = |name: &str, audience: &str, clock: &TestClock| {
        TokenIssuer::builder()
            .issuer(name)
            .audience(audience)
            .keys(keys.clone())
            .store(store.clone())
            .clock(clock.clone())
            .build()
            .unwrap()
    };
    let token = async |issuer: &TokenIssuer| {
        let alice = Principal::builder("alice", Scheme::BASIC).scopes(["read", "write"]).build();
        let grant = Grant::new(&alice).amr(["pwd"]).acr("1");
        issuer.issue(grant).await.unwrap().access_token().to_owned()
    };
    let now = TestClock::at(SystemClock.now());
    let hour_ago = TestClock::at(SystemTime::now() - Duration::from_secs(3_600));
    // First, so that the keys are active at both times.
    let expired = token(&issuer(ISSUER, AUDIENCE, &hour_ago)).await;
    let current = issuer(ISSUER, AUDIENCE, &now);
    let valid = token(&current).await;
    let for_other = token(&issuer(ISSUER, "payments", &now)).await;
    let of_other = token(&issuer("https://other.example", AUDIENCE, &now)).await;
    // The claims of one token with the signature of another.
    let (signed, _) = valid.rsplit_once('.').unwrap();
    let (_, signature) = for_other.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{signature}");
    let alice = current.verifier().verify(&valid).await.unwrap();
    let exchanged = current.exchange(&alice, AUDIENCE, ["read", "write"]).await.unwrap();
    let exchanged = exchanged.access_token().to_owned();
    (current, [valid, exchanged, expired, for_other, of_other, forged])
}

/// Verifies the tokens with a script, and compares what it prints for each of its libraries.
async fn check(program: &Path, script: &str, libraries: usize, errors: [&[&str]; 4]) {
    for (algorithm, keys) in algorithms() {
        let store = SealedStore::memory();
        let (issuer, tokens) = tokens(&keys, &store).await;
        assert_eq!(token_part(&tokens[0], 0)["alg"], algorithm);
        let jwks = issuer.jwks_document();
        let api = Api::serve(Router::new().route_service("/jwks.json", jwks)).await;
        let url = format!("http://{}/jwks.json", api.address);
        let mut command = Command::new(program);
        command.arg(Path::new(ROOT).join("tests/e2e").join(script));
        command.args([&*url, ISSUER, AUDIENCE, algorithm]).args(&tokens).env("NO_PROXY", "*");
        let output = command.kill_on_drop(true).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let output = String::from_utf8(output.stdout).unwrap();
        let results: Vec<Value> =
            output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(results.len(), libraries * tokens.len(), "{output}");
        for (library, results) in results.chunks(tokens.len()).enumerate() {
            for (result, token) in results[..2].iter().zip(&tokens) {
                assert_eq!(*result, token_part(token, 1), "{algorithm}");
                assert_eq!(result["sub"], "alice");
                assert_eq!(result["scope"], "read write");
            }
            assert_eq!(results[1]["act"]["sub"], "orders");
            for (result, errors) in results[2..].iter().zip(errors) {
                assert_eq!(result, errors[library], "{algorithm}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pyjwt_and_joserfc_accept_valid_tokens_and_reject_others() {
    if !has_python() {
        return;
    }
    let imports = Command::new(python()).args(["-c", "import jwt, joserfc"]).output();
    if !imports.await.unwrap().status.success() {
        return skip("install tests/e2e/requirements.txt into target/python");
    }
    let errors: [&[&str]; 4] = [
        &["ExpiredSignatureError", "ExpiredTokenError"],
        &["InvalidAudienceError", "InvalidClaimError"],
        &["PyJWKClientError", "InvalidKeyIdError"],
        &["InvalidSignatureError", "BadSignatureError"],
    ];
    check(&python(), "verify_tokens.py", 2, errors).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jose_accepts_valid_tokens_and_rejects_others() {
    if !has_node("jose") {
        return;
    }
    let errors: [&[&str]; 4] = [
        &["JWTExpired"],
        &["JWTClaimValidationFailed"],
        &["JWKSNoMatchingKey"],
        &["JWSSignatureVerificationFailed"],
    ];
    check(Path::new("node"), "verify_tokens.mjs", 1, errors).await;
}
