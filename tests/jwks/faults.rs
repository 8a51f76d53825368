//! Failures of issuers.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde_json::json;
use tower_auth::{JwtAuth, jwks::FetchError, jwt::Jwks};
use tower_auth_test_support::{
    stub::{StubResponse, StubServer, wait_until},
    token::{AUDIENCE, ISSUER, Signer, claims, encode},
};

use crate::{Service, signers};

fn faults(stub: &StubServer) -> Vec<(StubResponse, &'static str)> {
    vec![
        (StubResponse::Status(500), "500"),
        (StubResponse::Status(404), "404"),
        (StubResponse::Status(304), "304"),
        (StubResponse::Hang, "within"),
        (StubResponse::Drop, "failed"),
        (StubResponse::Large(50 << 20), "1 MiB"),
        (StubResponse::Document("{\"keys\": [".into()), "not a JWK set"),
        (StubResponse::Document("[]".into()), "not a JWK set"),
        (StubResponse::Document(String::new()), "not a JWK set"),
        (StubResponse::Redirect("https://127.0.0.1:1/jwks".into()), "another scheme"),
        (StubResponse::Redirect("http://issuer.example/jwks".into()), "not loopback"),
        (StubResponse::Redirect(stub.url("/jwks")), "redirect"),
    ]
}

#[tokio::test]
async fn fetch_failure_without_keys_returns_503_with_retry_after() {
    let (stub, [key]) = (StubServer::start(), signers(["1"]));
    for (fault, message) in faults(&stub) {
        stub.set_response("/jwks", fault);
        let jwks = Jwks::url(stub.url("/jwks")).timeout(Duration::from_secs(1));
        let service = Service::with(jwks).await;
        let response = service.get(&key.token(&claims())).await;
        assert_eq!(response.status, 503, "{message}");
        assert!(response.header("retry-after").parse::<u64>().unwrap() >= 1);
        assert!(response.header_values("www-authenticate").is_empty() && response.body.is_empty());
        let error = format!("{:#}", service.health().last_error().unwrap());
        assert!(error.contains(message), "{error} does not contain {message}");
        assert!(!service.health().is_ready());

        // The issuer recovers, and the clock advances past `retry-after`.
        stub.publish_keys([key.jwk()]);
        service.clock.advance(31);
        assert_eq!(service.status(&key.token(&claims())).await, 200, "{message}");
        assert_eq!(service.health().failures(), 0);
    }
}

#[tokio::test]
async fn stale_keys_are_used_until_max_stale() {
    let (stub, [key, unknown]) = (StubServer::start(), signers(["1", "2"]));
    stub.publish_keys([key.jwk()]);
    let jwks = Jwks::url(stub.url("/jwks")).timeout(Duration::from_secs(1));
    let service = Service::with(jwks).await;
    let mut claims = claims();
    claims["exp"] = 4_102_444_800_u64.into();
    let token = key.token(&claims);
    assert_eq!(service.status(&token).await, 200);
    for (fault, message) in faults(&stub) {
        stub.set_response("/jwks", fault);
        let before = service.health().failures();
        service.clock.advance(601);
        assert_eq!(service.status(&token).await, 200, "{message}");
        wait_until(message, async || service.health().failures() > before).await;
        let health = service.health();
        assert!(health.is_ready() && health.is_stale(), "{health}");
        assert_eq!(service.status(&token).await, 200, "{message}");
        let response = service.get(&unknown.token(&claims)).await;
        assert_eq!(response.status, 503, "the key may be new: {message}");
        stub.publish_keys([key.jwk()]);
        service.clock.advance(31);
        assert_eq!(service.status(&token).await, 200);
        wait_until("recovery", async || service.health().failures() == 0).await;
    }
    stub.set_response("/jwks", StubResponse::Status(500));
    service.clock.advance(600 + 3601);
    assert_eq!(service.status(&token).await, 503);
}

#[tokio::test]
async fn repeated_fetch_failures_back_off() {
    let (stub, [key]) = (StubServer::start(), signers(["1"]));
    stub.set_response("/jwks", StubResponse::Status(500));
    let service = Service::start(&stub).await;
    let mut hits = Vec::new();
    for _ in 0..10 {
        for _ in 0..5 {
            assert_eq!(service.status(&key.token(&claims())).await, 503);
        }
        hits.push(stub.hits("/jwks"));
        service.clock.advance(31);
    }
    let last = *hits.last().unwrap();
    assert!((10..=24).contains(&last), "{hits:?}");
}

#[tokio::test]
async fn unusable_keys_are_skipped_and_valid_keys_kept() {
    let (stub, [key]) = (StubServer::start(), signers(["good"]));
    let secret = Signer::generate("HS256", "secret");
    let rsa = |id: &str, bytes: usize, e: &str| json!({ "kty": "RSA", "kid": id, "n": encode(vec![0xff; bytes]), "e": e });
    let off_curve = json!({ "kty": "EC", "crv": "P-256", "kid": "off", "x": encode([1; 32]), "y": encode([1; 32]) });
    let x25519 = json!({ "kty": "OKP", "crv": "X25519", "kid": "x", "x": encode([1; 32]) });
    let unknown = json!({ "kty": "LWE", "kid": "lwe" });
    stub.publish_keys([
        secret.jwk(),
        rsa("small", 128, "AQAB"),
        rsa("one", 256, "AQ"),
        rsa("even", 256, "Ag"),
        off_curve,
        x25519,
        unknown,
        json!(7),
        key.jwk(),
    ]);
    let service = Service::start(&stub).await;
    assert_eq!(service.status(&key.token(&claims())).await, 200);
    assert_eq!(service.status(&secret.token(&claims())).await, 401);
    assert_eq!(service.health().key_ids().collect::<Vec<_>>(), ["good"]);
    assert_eq!(service.tokens.skipped_keys().len(), 8, "{:?}", service.tokens.skipped_keys());
}

/// A request during the last moments of a hanging fetch must not start the next fetch at once.
#[tokio::test]
async fn hanging_issuer_is_not_fetched_again_at_once() {
    let (stub, [key]) = (StubServer::start(), signers(["1"]));
    stub.publish_keys([key.jwk()]);
    let jwks = Jwks::url(stub.url("/jwks")).timeout(Duration::from_secs(1));
    let service = Service::with(jwks).await;
    assert_eq!(service.status(&key.token(&claims())).await, 200);
    stub.set_response("/jwks", StubResponse::Hang);
    service.clock.advance(601);
    let mut claims = claims();
    claims["exp"] = 4_102_444_800_u64.into();
    let token = key.token(&claims);
    wait_until("a failure", async || {
        assert_eq!(service.status(&token).await, 200);
        service.health().failures() > 0
    })
    .await;
    for _ in 0..20 {
        assert_eq!(service.status(&token).await, 200);
    }
    assert_eq!(stub.hits("/jwks"), 2);
}

#[tokio::test]
async fn unsafe_jwks_uri_in_metadata_is_rejected() {
    for (issuer, jwks_uri) in [
        ("https://i.example", "http://127.0.0.1/jwks"),
        ("HTTPS://i.example", "http://127.0.0.1/jwks"),
        ("https://i.example", "file:///etc/passwd"),
        ("http://i.example", "vault://keys/1"),
        ("https://i.example", "https://user:secret@i.example/jwks"),
        ("https://i.example", "/jwks"),
    ] {
        let fetch = move |_: Request<()>| {
            let metadata = json!({ "issuer": issuer, "jwks_uri": jwks_uri }).to_string();
            std::future::ready(Ok::<_, FetchError>(Response::new(Bytes::from(metadata))))
        };
        let jwks = Jwks::discover(issuer).client(fetch);
        let tokens = JwtAuth::builder(jwks).audience(AUDIENCE).build().unwrap();
        wait_until("a failure", async || tokens.health().unwrap().failures() > 0).await;
        let error = tokens.health().unwrap().last_error().unwrap().to_string();
        assert!(error.contains("jwks_uri must be an absolute https URL"), "{jwks_uri}: {error}");
    }
}

#[tokio::test]
async fn clock_set_back_triggers_a_fetch() {
    let (stub, [key]) = (StubServer::start(), signers(["1"]));
    stub.publish_keys([key.jwk()]);
    let service = Service::start(&stub).await;
    service.clock.advance(1_000_000);
    let mut claims = claims();
    claims["exp"] = 4_102_444_800_u64.into();
    let token = key.token(&claims);
    assert_eq!(service.status(&token).await, 200);
    let hits = stub.hits("/jwks");
    service.clock.set_back(1_000_000);
    assert_eq!(service.status(&token).await, 200);
    wait_until("another fetch", async || stub.hits("/jwks") > hits).await;
    wait_until("fresh keys", async || service.health().age().unwrap().as_secs() < 60).await;
}

#[tokio::test]
async fn fetch_task_ends_when_the_last_handle_is_dropped() {
    let (stub, [key]) = (StubServer::start(), signers(["1"]));
    stub.publish_keys([key.jwk()]);
    let alive = std::sync::Arc::new(());
    let held = std::sync::Arc::clone(&alive);
    let json = json!({ "keys": [key.jwk()] }).to_string();
    let fetch = move |_: Request<()>| {
        let (_held, json) = (std::sync::Arc::clone(&held), json.clone());
        async move { Ok::<_, FetchError>(Response::new(Bytes::from(json))) }
    };
    let jwks = Jwks::url("own://keys").client(fetch);
    let tokens = JwtAuth::builder(jwks).issuer(ISSUER).audience(AUDIENCE).build().unwrap();
    wait_until("keys", async || tokens.health().unwrap().is_ready()).await;
    let last = tokens.clone();
    drop(tokens);
    assert!(std::sync::Arc::strong_count(&alive) > 1 && last.health().unwrap().is_ready());
    drop(last);
    wait_until("the end of the task", async || std::sync::Arc::strong_count(&alive) == 1).await;
}

#[test]
fn invalid_jwks_settings_are_config_errors() {
    let config_error = |jwks: Jwks| {
        let tokens = JwtAuth::builder(jwks).issuer(ISSUER).audience(AUDIENCE).build();
        tokens.unwrap_err().to_string()
    };
    assert!(config_error(Jwks::url("http://issuer.example/jwks")).contains("dangerous_allow_http"));
    assert!(config_error(Jwks::url("issuer.example")).contains("absolute https URL"));
    assert!(config_error(Jwks::discover("https://other.example")).contains("another issuer"));
    assert!(config_error(Jwks::discover(format!("{ISSUER}?x"))).contains("another issuer"));
    let url = || Jwks::url("https://issuer.example/jwks");
    assert!(config_error(url().cooldown(Duration::ZERO)).contains("100 ms"));
    assert!(config_error(url().max_stale(Duration::MAX)).contains("7 days"));
    let query = JwtAuth::builder(Jwks::discover("https://a.example/?x")).audience(AUDIENCE).build();
    assert!(query.unwrap_err().to_string().contains("query"));
}
