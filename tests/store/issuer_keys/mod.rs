//! The keys of issuers: rotation, removal, outages, and the places where they are kept.

mod documents;
mod files;
mod lost;
mod outages;
mod pem;
mod removal;
mod rotation;
mod shared;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use serde_json::Value;
use tower::ServiceExt as _;
use tower_auth::{
    issue::{KeyState, KeyUse, SigningKeys, TokenIssuer, TokenIssuerBuilder},
    store::SealedStore,
    test_util::{TestClock, principal},
};
use tower_auth_test_support::{store::SwitchedStore, stub::wait_until};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

pub(crate) fn builder(store: &SealedStore, clock: &TestClock) -> TokenIssuerBuilder {
    TokenIssuer::builder()
        .issuer("https://login.example")
        .audience("orders")
        .store(store.clone())
        .clock(clock.clone())
}

/// Returns a store in memory with its own mock clock.
fn store_and_clock() -> (SealedStore, TestClock) {
    let clock = TestClock::new();
    (SwitchedStore::new(clock.clone()).sealed(), clock)
}

fn issuer(store: &SealedStore, clock: &TestClock, keys: SigningKeys) -> TokenIssuer {
    builder(store, clock).keys(keys).build().unwrap()
}

/// Returns an access token for a new login.
async fn access_token(issuer: &TokenIssuer) -> String {
    let tokens = issuer.issue(&principal("alice").build()).await.unwrap();
    tokens.access_token().to_owned()
}

async fn is_accepted(issuer: &TokenIssuer, token: &str) -> bool {
    issuer.verifier().verify(token).await.is_ok()
}

/// Waits until the verifier has fetched the keys that are due.
async fn wait_until_rejected(issuer: &TokenIssuer, token: &str) {
    wait_until("a rejection of the token", async || !is_accepted(issuer, token).await).await;
}

fn header(token: &str) -> Value {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice(&header).unwrap()
}

fn kid(token: &str) -> String {
    header(token)["kid"].as_str().unwrap().to_owned()
}

/// Returns the id of the active key for this use.
async fn active(issuer: &TokenIssuer, key_use: KeyUse) -> String {
    let keys = issuer.keys().await.unwrap();
    let mut active =
        keys.iter().filter(|key| key.key_use() == key_use && key.state() == KeyState::Active);
    let id = active.next().unwrap().id().to_owned();
    assert!(active.next().is_none());
    id
}

/// Sends a request to the service that publishes the keys.
async fn get_jwks(issuer: &TokenIssuer, headers: &[(&str, &str)]) -> Response<Vec<u8>> {
    let mut request = Request::get("/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
    let (head, body) = issuer.jwks_document().oneshot(request).await.unwrap().into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes().to_vec())
}

/// Returns the ids of the keys that are published.
async fn published(issuer: &TokenIssuer) -> Vec<String> {
    let response = get_jwks(issuer, &[]).await;
    assert_eq!(response.status(), 200);
    let set: Value = serde_json::from_slice(response.body()).unwrap();
    let keys = set["keys"].as_array().unwrap();
    keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}
