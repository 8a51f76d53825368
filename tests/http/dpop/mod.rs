//! Tokens that are bound to a DPoP key (RFC 9449), over real connections.

mod claims;
mod clocks;
mod faults;
mod frameworks;
mod headers;
mod keys;
mod limits;
mod mutations;
mod nonces;
mod schemes;
mod urls;
mod vectors;

use std::{
    error::Error as _,
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};

use axum::{Router, routing::any};
use serde_json::{Value, json};
use tower_auth::{
    AuthenticateLayer,
    clock::Clock as _,
    dpop::{DpopBinding, DpopBindingBuilder, ProofError},
    jwt::JwtAuthBuilder,
    observe::{Event, Observe},
    store::{Memory, SealedStore, StoreSecret},
    test_util::{TestClock, TokenMint},
    transport::Forwarded,
};
use tower_auth_test_support::{
    api::{Api, greet},
    dpop::{DpopClient, proof_claims},
    raw::{self, RawResponse},
};

const ALGORITHMS: &str = "ES256 EdDSA ES384 PS256 RS256";

/// A server for tokens of one issuer, and a client with a key.
struct Fixture {
    mint: TokenMint,
    client: DpopClient,
    clock: TestClock,
    address: String,
    reasons: Reasons,
}

/// The reasons of rejections, for the operator.
#[derive(Clone, Default)]
struct Reasons(Arc<Mutex<Vec<String>>>);

impl Observe for Reasons {
    fn observed(&self, event: &Event<'_>) {
        if let Some(rejection) = event.rejection() {
            let reason = rejection.source().map(ToString::to_string).unwrap_or_default();
            self.0.lock().unwrap().push(reason);
        }
    }
}

impl Reasons {
    fn take_last(&self) -> String {
        self.0.lock().unwrap().pop().unwrap_or_default()
    }
}

fn secret() -> StoreSecret {
    StoreSecret::new(*b"0123456789abcdefghijklmnopqrstuv").unwrap()
}

impl Fixture {
    async fn new() -> Self {
        Self::with(|binding| binding).await
    }

    async fn with(change: impl FnOnce(DpopBindingBuilder) -> DpopBindingBuilder) -> Self {
        Self::with_tokens(change, |tokens| tokens).await
    }

    /// The URLs of requests are https, with the host that the client names.
    async fn with_tokens(
        change: impl FnOnce(DpopBindingBuilder) -> DpopBindingBuilder,
        change_tokens: impl FnOnce(JwtAuthBuilder) -> JwtAuthBuilder,
    ) -> Self {
        let clock = TestClock::new();
        let store = SealedStore::new(Memory::with_clock(clock.clone()), secret());
        Self::with_store(clock, store, change, change_tokens).await
    }

    async fn with_store(
        clock: TestClock,
        store: SealedStore,
        change: impl FnOnce(DpopBindingBuilder) -> DpopBindingBuilder,
        change_tokens: impl FnOnce(JwtAuthBuilder) -> JwtAuthBuilder,
    ) -> Self {
        let mint = TokenMint::new("https://issuer.example").clock(clock.clone());
        let binding = DpopBinding::builder(store).clock(clock.clone());
        let binding = change(binding.forwarded(Forwarded::direct().tls())).build().unwrap();
        let tokens = mint.validator("orders").realm("api").binding(binding).clock(clock.clone());
        let tokens = change_tokens(tokens).build().unwrap();
        let reasons = Reasons::default();
        let layer = AuthenticateLayer::new(tokens).observer(reasons.clone());
        let app = Router::new().fallback(any(greet)).layer(layer);
        let address = Api::serve_with_addresses(app).await.address;
        Self { mint, client: DpopClient::new("ES256"), clock, address, reasons }
    }

    fn now(&self) -> u64 {
        self.clock.now().duration_since(UNIX_EPOCH).unwrap().as_secs()
    }

    /// Returns a token that is bound to the key of the client.
    fn token(&self) -> String {
        self.token_for(&self.client)
    }

    fn token_for(&self, client: &DpopClient) -> String {
        self.token_with_cnf(json!({ "jkt": client.thumbprint() }))
    }

    fn token_with_cnf(&self, cnf: Value) -> String {
        self.mint.token("alice").audience("orders").claim("cnf", cnf).sign()
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    /// Returns the claims of a proof for `GET /orders`.
    fn claims(&self, token: &str) -> Value {
        proof_claims("GET", &self.url("/orders"), token, self.now())
    }

    fn proof(&self, token: &str) -> String {
        self.client.0.token_with(&self.client.header(), &self.claims(token))
    }

    /// Sends `GET /orders` with a token and a proof.
    fn get(&self, token: &str, proof: &str) -> RawResponse {
        self.get_with(&[("Authorization", &format!("DPoP {token}")), ("DPoP", proof)])
    }

    fn get_with(&self, headers: &[(&str, &str)]) -> RawResponse {
        raw::get(&self.address, "/orders", headers)
    }

    /// Sends a proof with other claims.
    fn get_with_claims(&self, token: &str, claims: &Value) -> RawResponse {
        self.get(token, &self.client.0.token_with(&self.client.header(), claims))
    }

    #[track_caller]
    fn assert_invalid_proof(&self, response: &RawResponse, reason: ProofError, case: &str) {
        self.assert_rejected(response, "invalid_dpop_proof", reason, case);
    }

    /// Asserts that the challenge of the scheme `DPoP` has this error, and that of `Bearer` none.
    #[track_caller]
    fn assert_rejected(&self, response: &RawResponse, error: &str, reason: ProofError, case: &str) {
        assert_eq!(self.reasons.take_last(), reason.to_string(), "{case}");
        assert_eq!(response.status, 401, "{case}");
        let dpop = format!(r#"DPoP realm="api", algs="{ALGORITHMS}", error="{error}""#);
        let challenges = response.header_values("www-authenticate");
        assert_eq!(challenges, [r#"Bearer realm="api""#, &dpop], "{case}");
        assert!(response.header_values("dpop-nonce").is_empty(), "{case}");
    }
}

#[track_caller]
fn assert_admitted(response: &RawResponse) {
    assert_eq!((response.status, &*response.body), (200, "hello alice"), "{response:?}");
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn valid_proof_is_accepted_once() {
    let fixture = Fixture::new().await;
    let token = fixture.token();
    let proof = fixture.proof(&token);
    let response = fixture.get(&token, &proof);
    assert_admitted(&response);
    assert!(response.header_values("dpop-nonce").is_empty());
    for _ in 0..3 {
        let replayed = fixture.get(&token, &proof);
        fixture.assert_invalid_proof(&replayed, ProofError::Replayed, "replay");
    }
    assert_admitted(&fixture.get(&token, &fixture.proof(&token)));
}

#[tokio::test(flavor = "multi_thread")]
async fn request_without_a_token_gets_both_challenges_without_an_error() {
    let fixture = Fixture::new().await;
    let token = fixture.token();
    for headers in [&[][..], &[("DPoP", &*fixture.proof(&token))]] {
        let response = fixture.get_with(headers);
        assert_eq!(response.status, 401);
        let dpop = format!(r#"DPoP realm="api", algs="{ALGORITHMS}""#);
        assert_eq!(response.header_values("www-authenticate"), [r#"Bearer realm="api""#, &dpop]);
    }
}
