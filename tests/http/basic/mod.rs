//! HTTP Basic as services run it: hashes of every tool, files that change, few permits, and guessers.

mod hashes;
mod htpasswd;
mod malformed;
mod pool;
mod reloading;
mod sharing;
mod throttle;
mod tools;

use std::sync::mpsc;

use axum::{Router, routing::get};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use tower_auth::{AuthenticateLayer, Authenticator, BasicAuth, basic::PasswordVerifier};
use tower_auth_test_support::api::{Api, Reply, greet};

/// The passwords of most tests, for which there are [`Fixture`] hashes.
pub(crate) const HORSE: &str = "correct horse battery staple";
pub(crate) const SNOW: &str = "pässwörd ☃";

/// `fixtures/hashes.json`; `hashes.py` beside it says how it was made.
#[derive(Deserialize)]
pub(crate) struct Fixture {
    pub(crate) hashes: Vec<Hashed>,
    pub(crate) defaults: Vec<Hashed>,
    pub(crate) others: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
pub(crate) struct Hashed {
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

/// The hash that this tool made of this password.
pub(crate) fn made_by(tool: &str, password: &str) -> String {
    let mut all = Fixture::read().hashes.into_iter();
    all.find(|made| made.tool == tool && made.password == password).unwrap().hash
}

/// One that costs next to nothing.
pub(crate) fn cheap(password: &str) -> String {
    made_by("argon2-cffi argon2id", password)
}

/// A service for whoever this verifier knows.
pub(crate) async fn serve<V: PasswordVerifier>(verifier: V) -> Api {
    guard(BasicAuth::new("staff", verifier).unwrap()).await
}

pub(crate) async fn guard<A>(auth: A) -> Api
where
    A: Authenticator<Future: Send> + Send + Sync + 'static,
{
    Api::serve(Router::new().route("/", get(greet)).layer(AuthenticateLayer::new(auth))).await
}

pub(crate) async fn log_in(api: &Api, user_id: &str, password: &str) -> Reply {
    Reply::to(api.get("/").header("authorization", field(user_id, password))).await
}

pub(crate) async fn status(api: &Api, user_id: &str, password: &str) -> u16 {
    log_in(api, user_id, password).await.status.as_u16()
}

/// The value of `Authorization`.
pub(crate) fn field(user_id: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user_id}:{password}")))
}

/// Runs a test on one thread, beside one more where hashes are computed. So whoever [holds](Hold) that one decides when
/// they are.
pub(crate) fn on_one_thread<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test)
}

/// No hash is computed until it is dropped.
pub(crate) struct Hold {
    _release: mpsc::Sender<()>,
}

impl Hold {
    pub(crate) async fn start() -> Self {
        let (release, released) = mpsc::channel::<()>();
        let (tell, held) = tokio::sync::oneshot::channel();
        tokio::task::spawn_blocking(move || {
            let _ = tell.send(());
            let _ = released.recv();
        });
        held.await.unwrap();
        Self { _release: release }
    }
}
