//! A service that keeps revocations in Redis.

use std::{
    future::IntoFuture as _,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use tokio::{net::TcpListener, time::sleep};
use tower_auth::{
    AuthenticateLayer, JwtAuth, Principal, Rejection,
    observe::{Event, Observe},
    revocation::Revocations,
    store::{Redis, SealedStore, Store},
    test_util::TokenMint,
};
use tower_auth_test_support::api::{Reply, greet};

use super::secret;

/// The timeout of the store in these tests.
pub(super) const TIMEOUT: Duration = Duration::from_millis(300);

pub(super) const ISSUER: &str = "https://issuer.example";

/// The names of the events of a store, in order.
#[derive(Clone, Default)]
pub(super) struct StoreEvents(Arc<Mutex<Vec<&'static str>>>);

impl Observe for StoreEvents {
    fn observed(&self, event: &Event<'_>) {
        let name = match event {
            Event::StoreUnavailable { .. } => "unavailable",
            Event::StoreAvailable { .. } => "available",
            Event::StoreFull { .. } => "full",
            Event::StoreReverted { .. } => "reverted",
            _ => return,
        };
        self.0.lock().unwrap().push(name);
    }
}

impl StoreEvents {
    pub(super) fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A service on loopback: `GET /` needs a token, and `POST /logout` revokes it.
#[derive(Clone)]
pub(super) struct Service {
    address: String,
    client: reqwest::Client,
    pub(super) revocations: Revocations,
    pub(super) events: StoreEvents,
    /// The timeout of the store.
    limit: Duration,
}

impl Service {
    pub(super) async fn start(url: &str, mint: &TokenMint) -> Self {
        let store = Redis::builder(url).unwrap().timeout(TIMEOUT).build().unwrap();
        Self::with(store, Duration::ZERO, mint).await
    }

    /// Starts a service that does not fail if the machine is busy.
    pub(super) async fn patient(url: &str, staleness: Duration, mint: &TokenMint) -> Self {
        let limit = Duration::from_secs(10);
        let store = Redis::builder(url).unwrap().timeout(limit).build().unwrap();
        Self { limit, ..Self::with(store, staleness, mint).await }
    }

    pub(super) async fn with(
        store: impl Store + 'static,
        staleness: Duration,
        mint: &TokenMint,
    ) -> Self {
        let events = StoreEvents::default();
        let store = SealedStore::new(store, secret()).observer(events.clone());
        let revocations = Revocations::builder(store)
            .longest_token_life(Duration::from_secs(3_600))
            .staleness(staleness)
            .observer(events.clone())
            .build()
            .unwrap();
        let tokens = mint.validator("orders").revocations(revocations.clone()).build().unwrap();
        let app = Self::app(tokens, revocations.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(axum::serve(listener, app).into_future());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { address, client, revocations, events, limit: TIMEOUT }
    }

    fn app(tokens: JwtAuth, revocations: Revocations) -> Router {
        Router::new()
            .route("/", get(greet))
            .route("/logout", post(log_out))
            .layer(AuthenticateLayer::new(tokens))
            .with_state(revocations)
    }

    pub(super) async fn get(&self, token: &str) -> u16 {
        let request = self.client.get(format!("http://{}/", self.address));
        self.timed(request.bearer_auth(token)).await
    }

    pub(super) async fn log_out(&self, token: &str) -> u16 {
        let request = self.client.post(format!("http://{}/logout", self.address));
        self.timed(request.bearer_auth(token)).await
    }

    /// Returns the status, and checks that the response does not take much longer than the timeout
    /// of the store.
    async fn timed(&self, request: reqwest::RequestBuilder) -> u16 {
        let started = Instant::now();
        // On a busy machine, timers are late.
        let timeout = self.limit;
        let timer = tokio::spawn(async move {
            sleep(timeout).await;
            started.elapsed()
        });
        let reply = Reply::to(request).await;
        let duration = started.elapsed();
        if duration > timeout {
            let limit = timer.await.unwrap() + Duration::from_millis(100);
            assert!(duration <= limit, "took {duration:?} instead of {limit:?}");
        }
        if reply.status == StatusCode::SERVICE_UNAVAILABLE {
            assert!(reply.headers.contains_key("retry-after"), "{reply:?}");
        }
        reply.status.as_u16()
    }

    /// Asserts that the service accepts this token again within two seconds.
    pub(super) async fn assert_recovers(&self, token: &str) {
        let started = Instant::now();
        loop {
            let status = self.get(token).await;
            assert!(started.elapsed() < Duration::from_secs(2), "{status}");
            if status == 200 {
                return;
            }
            assert_eq!(status, 503);
            tokio::task::yield_now().await;
        }
    }
}

async fn log_out(
    State(revocations): State<Revocations>,
    caller: Principal,
) -> Result<StatusCode, Rejection> {
    revocations.token(&caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) fn token(mint: &TokenMint, jti: &str) -> String {
    mint.token("alice").audience("orders").claim("jti", jti).sign()
}
