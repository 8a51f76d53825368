//! `Health` with real servers and without other requests.

use std::time::{Duration, Instant};

use axum::Router;
use futures_util::future::join_all;
use tower_auth::{
    health::Health,
    store::{Redis, SealedStore},
};
use tower_auth_test_support::{
    api::Api,
    raw::{self, RawResponse},
    redis::RedisServer,
    stub::{ShiftedClock, wait_until},
};

use super::secret;

/// The time limits of the store and of the checks.
const TIMEOUT: Duration = Duration::from_millis(300);

struct Setup {
    server: RedisServer,
    address: String,
    clock: ShiftedClock,
}

impl Setup {
    async fn new() -> Option<Self> {
        let server = RedisServer::redis(&[])?;
        let store = Redis::builder(server.url()).unwrap().timeout(TIMEOUT).build().unwrap();
        let store = SealedStore::new(store, secret());
        let clock = ShiftedClock::default();
        let health = Health::new().store("store", &store).timeout(TIMEOUT).clock(clock.clock());
        let app = Router::new().route_service("/readyz", health);
        Some(Self { server, address: Api::serve(app).await.address, clock })
    }

    /// Requests the health after the last result has become old.
    async fn probe(&self) -> RawResponse {
        self.clock.advance(1);
        self.request().await
    }

    async fn request(&self) -> RawResponse {
        let address = self.address.clone();
        tokio::task::spawn_blocking(move || raw::get(&address, "/readyz", &[])).await.unwrap()
    }

    async fn assert_unready(&self, reasons: &[&str]) {
        let response = self.probe().await;
        assert_eq!(response.status, 503);
        let component = &response.json()["components"][0];
        assert!(reasons.contains(&component["reason"].as_str().unwrap()), "{component}");
        for secret in ["127.0.0.1", &self.server.port.to_string(), "refused", "redis"] {
            assert!(!response.body.contains(secret), "{}", response.body);
        }
    }

    async fn assert_recovers(&self) {
        wait_until("recovery", async || self.probe().await.status == 200).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_server_is_unready_until_it_is_back() {
    let Some(mut setup) = Setup::new().await else { return };
    assert_eq!(setup.probe().await.status, 200);
    for _ in 0..2 {
        setup.server.kill();
        setup.assert_unready(&["unavailable"]).await;
        setup.assert_unready(&["unavailable"]).await;
        setup.server.start_again();
        setup.assert_recovers().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_server_is_unready_within_the_time_limit() {
    let Some(setup) = Setup::new().await else { return };
    assert_eq!(setup.probe().await.status, 200);
    setup.server.pause();
    let start = Instant::now();
    setup.assert_unready(&["timeout", "unavailable"]).await;
    assert!(start.elapsed() < 10 * TIMEOUT);
    setup.server.resume();
    setup.assert_recovers().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_probes_read_one_record() {
    let Some(setup) = Setup::new().await else { return };
    setup.probe().await;
    let reads =
        || ["get", "mget"].map(|command| setup.server.count_of(command)).iter().sum::<u64>();
    for _ in 0..3 {
        let before = reads();
        // The probe makes the last result old, once.
        setup.clock.advance(1);
        // A slow machine could need more than a second of the real time in the clock.
        let start = Instant::now();
        let responses = join_all((0..64).map(|_| setup.request())).await;
        assert!(responses.iter().all(|response| response.status == 200));
        let allowed = 1 + start.elapsed().as_secs();
        assert!((1..=allowed).contains(&(reads() - before)));
    }
}
