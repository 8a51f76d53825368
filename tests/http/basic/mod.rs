//! HTTP Basic over HTTP: password hashes, htpasswd files, hashing permits and throttling.

mod hashes;
mod htpasswd;
mod login;
mod malformed;
mod pool;
mod reloading;
mod shared_throttle;
mod shares;
mod sharing;
mod throttle;
mod tools;

use std::sync::mpsc;

use axum::{Router, routing::get};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use tower_auth::{AuthenticateLayer, Authenticator, BasicAuth, basic::PasswordVerifier};
use tower_auth_test_support::api::{Api, Reply, greet};

/// The passwords of most tests, with hashes in the [`Fixture`].
pub(crate) const PASSWORD: &str = "correct horse battery staple";
pub(crate) const UNICODE_PASSWORD: &str = "pässwörd ☃";

/// The contents of `fixtures/hashes.json`, which `hashes.py` generates.
#[derive(Deserialize)]
pub(crate) struct Fixture {
    pub(crate) hashes: Vec<FixtureHash>,
    pub(crate) defaults: Vec<FixtureHash>,
    pub(crate) others: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
pub(crate) struct FixtureHash {
    pub(crate) tool: String,
    pub(crate) password: String,
    pub(crate) hash: String,
}

impl Fixture {
    pub(crate) fn read() -> Self {
        let text = include_str!("../../fixtures/hashes.json");
        serde_json::from_str(text).unwrap()
    }
}

/// Returns the fixture hash that this tool made of this password.
pub(crate) fn fixture_hash(tool: &str, password: &str) -> String {
    let mut all = Fixture::read().hashes.into_iter();
    all.find(|record| record.tool == tool && record.password == password).unwrap().hash
}

/// Returns a hash that is cheap to verify.
pub(crate) fn cheap_hash(password: &str) -> String {
    fixture_hash("argon2-cffi argon2id", password)
}

/// Serves a route for callers that the verifier accepts.
pub(crate) async fn serve<V: PasswordVerifier>(verifier: V) -> Api {
    serve_authenticator(BasicAuth::new("staff", verifier).unwrap()).await
}

pub(crate) async fn serve_authenticator<A>(auth: A) -> Api
where
    A: Authenticator + 'static,
{
    Api::serve(Router::new().route("/", get(greet)).layer(AuthenticateLayer::new(auth))).await
}

pub(crate) async fn log_in(api: &Api, user_id: &str, password: &str) -> Reply {
    Reply::to(api.get("/").header("authorization", basic_header(user_id, password))).await
}

pub(crate) async fn status(api: &Api, user_id: &str, password: &str) -> u16 {
    log_in(api, user_id, password).await.status.as_u16()
}

/// Returns the value of the `Authorization` header.
pub(crate) fn basic_header(user_id: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user_id}:{password}")))
}

/// Runs a test on one thread, with one more thread that computes hashes. A [`HashingPause`] blocks
/// that thread.
pub(crate) fn on_one_thread<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test)
}

/// Pauses the computation of hashes until it is dropped.
pub(crate) struct HashingPause {
    _release: mpsc::Sender<()>,
}

impl HashingPause {
    pub(crate) async fn start() -> Self {
        let (release, released) = mpsc::channel::<()>();
        let (started_sender, started) = tokio::sync::oneshot::channel();
        tokio::task::spawn_blocking(move || {
            let _ = started_sender.send(());
            let _ = released.recv();
        });
        started.await.unwrap();
        Self { _release: release }
    }
}
