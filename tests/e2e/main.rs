//! End-to-end tests: services that discover the keys of a certified OpenID provider on loopback,
//! and real clients. `README.md` describes what must be installed.

mod backchannel;
mod basic;
mod bound;
mod dpop;
mod examples;
mod issued_tokens;
mod opaque;
mod rotation;
mod webhooks;

use std::future::IntoFuture as _;

use axum::{
    Router,
    http::header::{RETRY_AFTER, WWW_AUTHENTICATE},
    routing::get,
};
use reqwest::{Client, Response};
use tokio::net::TcpListener;
use tower_auth::{AuthenticateLayer, Principal, jwt::JwtAuthBuilder};
use tower_auth_test_support::{
    provider::{Provider, client, token_part},
    stub::{ShiftedClock, wait_until},
};

#[tokio::test(flavor = "multi_thread")]
async fn real_op_all_algs_are_accepted() {
    let Some(provider) = Provider::start() else { return };
    for (resource, algorithm) in [
        ("urn:rs256", "RS256"),
        ("urn:ps256", "PS256"),
        ("urn:es256", "ES256"),
        ("urn:es384", "ES384"),
        ("urn:eddsa", "EdDSA"),
        ("urn:ed25519", "Ed25519"),
    ] {
        let token = provider.token(resource).await;
        assert_eq!(token_part(&token, 0)["alg"], algorithm);
        let profile = provider.tokens(resource).access_token_profile();
        for tokens in [provider.tokens(resource), profile] {
            let response = Service::start(tokens).await.get(&token).await;
            assert_eq!(response.status(), 200, "{algorithm}");
            assert_eq!(response.text().await.unwrap(), "service");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn real_op_no_nbf_is_accepted() {
    let Some(provider) = Provider::start() else { return };
    let token = provider.token("urn:rs256").await;
    assert_eq!(token_part(&token, 1).get("nbf"), None);
    let service = Service::start(provider.tokens("urn:rs256")).await;
    assert_eq!(service.status(&token).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn real_op_opaque_token_is_rejected() {
    let Some(provider) = Provider::start() else { return };
    let service = Service::start(provider.tokens("urn:rs256")).await;
    let token = provider.opaque_token().await;
    assert!(!token.contains('.'), "{token}");
    service.assert_rejects(&token).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn real_op_wrong_resource_is_rejected() {
    let Some(provider) = Provider::start() else { return };
    let service = Service::start(provider.tokens("urn:rs256")).await;
    service.assert_rejects(&provider.token("urn:es256").await).await;
    assert_eq!(service.status(&provider.token("urn:rs256").await).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn rotated_key_is_fetched_once() {
    let Some(provider) = Provider::start() else { return };
    for resource in ["urn:ps256", "urn:es256", "urn:ed25519"] {
        let service = Service::start(provider.tokens(resource)).await;
        let old = provider.token(resource).await;
        assert_eq!(service.status(&old).await, 200);
        let hits = provider.hits("jwks").await;

        provider.post_control("rotate").await;
        let new = provider.token(resource).await;
        assert_ne!(token_part(&new, 0)["kid"], token_part(&old, 0)["kid"]);
        assert_eq!(service.status(&new).await, 200);
        assert_eq!(service.status(&old).await, 200);
        assert_eq!(service.status(&new).await, 200);
        assert_eq!(provider.hits("jwks").await, hits + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retired_key_is_rejected_after_the_next_refresh() {
    let Some(provider) = Provider::start() else { return };
    let service = Service::start(provider.tokens("urn:es256")).await;
    let old = provider.token("urn:es256").await;
    assert_eq!(service.status(&old).await, 200);
    provider.post_control("rotate").await;
    let new = provider.token("urn:es256").await;
    assert_eq!(service.status(&new).await, 200);

    provider.post_control("retire").await;
    assert_eq!(service.status(&old).await, 200, "the service has not refreshed its keys yet");
    service.clock.advance(601);
    wait_until("the removal of the old key", async || service.status(&old).await == 401).await;
    service.assert_rejects(&old).await;
    assert_eq!(service.status(&new).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn outage_keeps_cached_keys_and_returns_503_without_keys() {
    let Some(provider) = Provider::start() else { return };
    let service = Service::start(provider.tokens("urn:es256")).await;
    let token = provider.token("urn:es256").await;
    assert_eq!(service.status(&token).await, 200);

    provider.post_control("outage?on=1").await;
    let hits = provider.hits("discovery").await;
    service.clock.advance(601);
    wait_until("a failed fetch", async || {
        assert_eq!(service.status(&token).await, 200);
        provider.hits("discovery").await > hits
    })
    .await;
    assert_eq!(service.status(&token).await, 200);

    let fresh = Service::start(provider.tokens("urn:es256")).await;
    let response = fresh.get(&token).await;
    assert_eq!(response.status(), 503);
    let wait: u64 = response.headers()[RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");

    provider.post_control("outage?on=0").await;
    fresh.clock.advance(wait);
    wait_until("a successful fetch", async || fresh.status(&token).await == 200).await;
    assert_eq!(service.status(&token).await, 200);
}

/// A service with a mock clock.
struct Service {
    clock: ShiftedClock,
    address: String,
    client: Client,
}

impl Service {
    async fn start(tokens: JwtAuthBuilder) -> Self {
        let clock = ShiftedClock::default();
        let tokens = tokens.clock(clock.clock()).build().unwrap();
        let app = Router::new()
            .route("/", get(async |caller: Principal| caller.subject().to_owned()))
            .layer(AuthenticateLayer::new(tokens));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, app).into_future());
        Self { clock, address, client: client() }
    }

    async fn get(&self, token: &str) -> Response {
        self.client.get(&self.address).bearer_auth(token).send().await.unwrap()
    }

    async fn status(&self, token: &str) -> u16 {
        self.get(token).await.status().as_u16()
    }

    async fn assert_rejects(&self, token: &str) {
        let response = self.get(token).await;
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()[WWW_AUTHENTICATE], r#"Bearer error="invalid_token""#);
    }
}
