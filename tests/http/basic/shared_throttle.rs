//! Throttling of failed logins by several servers that share a store. The header `x-from` names the
//! address, and the clock is a mock.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, UNIX_EPOCH},
};

use axum::{
    Router,
    http::request::Parts,
    routing::{get, post},
};
use futures_util::future::join_all;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use tokio::io::AsyncWriteExt as _;
use tower_auth::{
    AuthenticateLayer, BasicAuth, Rejection,
    basic::{BasicCredentials, PasswordVerifier, Users, Verdict},
    observe::Event,
    password::{HashVerifier, HashedUsers},
    store::StoreErrorKind,
    test_util::TestClock,
    throttle::Throttle,
};
use tower_auth_test_support::{
    api::{Api, Reply, greet},
    store::SwitchedStore,
    stub::wait_until,
};

use super::{PASSWORD, basic_header, cheap_hash, throttle::throttle_by_header};

/// Servers with one store. The time is at the beginning of a window of 300 s.
struct Servers {
    apis: Vec<Api>,
    store: SwitchedStore,
    clock: TestClock,
    events: Arc<Mutex<Vec<&'static str>>>,
}

fn users() -> Users {
    Users::new([("alice", PASSWORD), ("bob", PASSWORD)]).unwrap()
}

impl Servers {
    async fn start(number: usize) -> Self {
        Self::with(number, |_| users()).await
    }

    async fn with<V: PasswordVerifier>(number: usize, verifier: impl Fn(TestClock) -> V) -> Self {
        let clock = TestClock::new();
        clock.set(UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let store = SwitchedStore::new(clock.clone());
        let events = Arc::<Mutex<Vec<_>>>::default();
        let mut apis = Vec::new();
        for _ in 0..number {
            let events = Arc::clone(&events);
            let sealed = store.sealed().observer(move |event: &Event<'_>| {
                events.lock().unwrap().push(match event {
                    Event::StoreUnavailable { .. } => "unavailable",
                    Event::StoreAvailable { .. } => "available",
                    Event::StoreFull { .. } => "full",
                    _ => "other",
                });
            });
            let throttle = throttle_by_header().clock(clock.clone()).shared(sealed);
            let staff = BasicAuth::new("staff", verifier(clock.clone())).unwrap();
            apis.push(serve(staff.throttle(throttle).unwrap()).await);
        }
        Self { apis, store, clock, events }
    }

    async fn log_in(&self, server: usize, from: &str, user_id: &str, password: &str) -> Reply {
        let api = &self.apis[server % self.apis.len()];
        let request = api.get("/").header("authorization", basic_header(user_id, password));
        Reply::to(request.header("x-from", from)).await
    }

    async fn status(&self, server: usize, from: &str, user_id: &str, password: &str) -> u16 {
        self.log_in(server, from, user_id, password).await.status.as_u16()
    }

    /// Asserts that the correct password is throttled, and returns `Retry-After` in seconds.
    async fn retry_after(&self, server: usize, from: &str, user_id: &str) -> u64 {
        let rejected = self.log_in(server, from, user_id, PASSWORD).await;
        assert_eq!(rejected.status, 429);
        assert!(!rejected.headers.contains_key(WWW_AUTHENTICATE));
        rejected.headers[RETRY_AFTER].to_str().unwrap().parse().unwrap()
    }

    /// Guesses at one server after the other until one throttles it, and returns the number of
    /// failed logins.
    async fn guess(&self, from: &str, user_id: &str) -> usize {
        let mut failed = 0;
        loop {
            match self.status(failed, from, user_id, "guess").await {
                401 => failed += 1,
                429 => return failed,
                other => panic!("{other}"),
            }
        }
    }

    fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn events(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.events.lock().unwrap())
    }
}

/// Serves a route, and a login form whose fields are in headers.
async fn serve<V: PasswordVerifier>(staff: BasicAuth<V>) -> Api {
    let form = staff.clone();
    let log_in = move |head: Parts| async move {
        let field = |name| head.headers[name].to_str().unwrap();
        let caller = form.verify(field("x-user"), field("x-password"), &head).await?;
        Ok::<_, Rejection>(caller.subject().to_owned())
    };
    let protected = Router::new().route("/", get(greet)).layer(AuthenticateLayer::new(staff));
    Api::serve(protected.route("/login", post(log_in))).await
}

#[tokio::test]
async fn two_servers_share_a_limit_until_the_window_ends() {
    let servers = Servers::start(2).await;
    servers.advance(60);
    assert_eq!(servers.guess("192.0.2.1", "alice").await, 10);
    for server in 0..2 {
        assert_eq!(servers.retry_after(server, "192.0.2.1", "alice").await, 240);
        assert_eq!(servers.retry_after(server, "192.0.2.1", "bob").await, 240);
        assert_eq!(servers.status(server, "192.0.2.2", "alice", PASSWORD).await, 200);
    }
    servers.advance(239);
    assert_eq!(servers.retry_after(0, "192.0.2.1", "alice").await, 1);
    servers.advance(1);
    assert_eq!(servers.status(1, "192.0.2.1", "alice", PASSWORD).await, 200);
    assert_eq!(servers.guess("192.0.2.1", "alice").await, 10);
    assert!(servers.events().is_empty());
}

#[tokio::test]
async fn successful_logins_use_up_no_attempt() {
    let servers = Servers::start(2).await;
    for login in 0..40 {
        assert_eq!(servers.status(login, "192.0.2.1", "alice", PASSWORD).await, 200);
    }
    assert_eq!(servers.guess("192.0.2.1", "alice").await, 10);
}

#[tokio::test]
async fn user_is_not_locked_out_by_guesses_from_many_addresses() {
    let servers = Servers::start(3).await;
    for attacker in 0..40 {
        let from = format!("198.51.100.{attacker}");
        assert_eq!(servers.status(attacker, &from, "alice", "guess").await, 401);
    }
    assert_eq!(servers.guess("198.51.100.1", "alice").await, 1);
    assert_eq!(servers.status(0, "192.0.2.1", "alice", PASSWORD).await, 200);
}

#[tokio::test]
async fn login_form_shares_the_limit() {
    let servers = Servers::start(2).await;
    let post = async |server: usize, password: &str| {
        let request = servers.apis[server].request(http::Method::POST, "/login");
        let request = request.header("x-user", "alice").header("x-password", password);
        Reply::to(request.header("x-from", "192.0.2.1")).await.status.as_u16()
    };
    for guess in 0..10 {
        assert_eq!(post(guess % 2, PASSWORD).await, 200);
        assert_eq!(post(guess % 2, "guess").await, 401);
    }
    assert_eq!(post(0, PASSWORD).await, 429);
    assert_eq!(servers.retry_after(1, "192.0.2.1", "alice").await, 300);
}

/// Otherwise, the response would reveal to a blocked address that the password is correct.
#[tokio::test]
async fn password_in_the_cache_is_rejected_for_an_address_over_the_limit() {
    let servers = Servers::with(2, |clock| {
        let users = HashedUsers::new([("alice", cheap_hash(PASSWORD))]).unwrap();
        HashVerifier::new(users).clock(clock)
    })
    .await;
    for server in 0..2 {
        for _ in 0..2 {
            assert_eq!(servers.status(server, "192.0.2.2", "alice", PASSWORD).await, 200);
        }
    }
    assert_eq!(servers.guess("192.0.2.1", "bob").await, 10);
    for server in 0..2 {
        assert_eq!(servers.status(server, "192.0.2.1", "alice", PASSWORD).await, 429);
        assert_eq!(servers.status(server, "192.0.2.2", "alice", PASSWORD).await, 200);
    }
}

#[tokio::test]
async fn concurrent_guesses_over_4_servers_reach_the_verifier_10_times() {
    let checked = Arc::new(AtomicUsize::new(0));
    let servers = Servers::with(4, |_| {
        let checked = Arc::clone(&checked);
        move |_: BasicCredentials| {
            checked.fetch_add(1, Ordering::SeqCst);
            async { Verdict::Invalid }
        }
    })
    .await;
    let guess = |guess: usize| {
        let servers = &servers;
        async move { servers.status(guess, "192.0.2.1", "alice", &format!("{guess}")).await }
    };
    let statuses = join_all((0..64).map(guess)).await;
    assert_eq!(checked.load(Ordering::SeqCst), 10);
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 10);
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 54);
    assert_eq!(servers.status(0, "192.0.2.2", "alice", "guess").await, 401);
}

#[tokio::test]
async fn each_server_allows_a_tenth_during_an_outage() {
    let servers = Servers::start(2).await;
    servers.store.set_fault(StoreErrorKind::Unavailable);
    for server in 0..2 {
        for _ in 0..5 {
            assert_eq!(servers.status(server, "192.0.2.1", "alice", PASSWORD).await, 200);
        }
        assert_eq!(servers.status(server, "192.0.2.1", "alice", "guess").await, 401);
        assert_eq!(servers.retry_after(server, "192.0.2.1", "alice").await, 300);
        assert_eq!(servers.retry_after(server, "192.0.2.1", "bob").await, 300);
    }
    assert_eq!(servers.events(), ["unavailable"; 2], "one for each server");
    servers.store.set_fault(None);
    assert_eq!(servers.status(0, "192.0.2.1", "alice", PASSWORD).await, 200);
    assert_eq!(servers.events(), ["available"]);
    assert_eq!(servers.guess("192.0.2.1", "alice").await, 10);
    assert_eq!(servers.events(), ["available"]);
}

#[tokio::test]
async fn full_store_has_the_local_limit() {
    let servers = Servers::start(1).await;
    servers.store.set_fault(StoreErrorKind::Full);
    assert_eq!(servers.guess("192.0.2.1", "alice").await, 1);
    assert_eq!(servers.retry_after(0, "192.0.2.1", "alice").await, 300);
    assert_eq!(servers.events(), ["full"]);
}

#[tokio::test]
async fn no_request_waits_longer_than_the_store() {
    let servers = Servers::start(2).await;
    servers.store.pause();
    let start = Instant::now();
    let log_in = |login: usize| {
        let servers = &servers;
        async move {
            let from = format!("192.0.2.{login}");
            let (password, expected) = [(PASSWORD, 200), ("guess", 401)][login % 2];
            assert_eq!(servers.status(login, &from, "alice", password).await, expected);
        }
    };
    join_all((0..20).map(log_in)).await;
    let elapsed = start.elapsed();
    assert!(elapsed >= SwitchedStore::TIMEOUT, "{elapsed:?}");
    assert!(elapsed < 4 * SwitchedStore::TIMEOUT, "{elapsed:?}");
    servers.store.resume();
    assert_eq!(servers.guess("203.0.113.1", "bob").await, 10);
}

#[tokio::test]
async fn request_whose_client_disconnects_counts() {
    let (arrived, release) = (Arc::new(AtomicUsize::new(0)), Arc::new(tokio::sync::Notify::new()));
    let servers = Servers::with(1, |_| {
        let (arrived, release) = (Arc::clone(&arrived), Arc::clone(&release));
        move |_: BasicCredentials| {
            arrived.fetch_add(1, Ordering::SeqCst);
            let release = Arc::clone(&release);
            async move {
                release.notified().await;
                Verdict::Invalid
            }
        }
    })
    .await;
    for guess in 0..10 {
        let mut connection =
            tokio::net::TcpStream::connect(&servers.apis[0].address).await.unwrap();
        let credentials = basic_header("alice", &guess.to_string());
        let head = format!(
            "GET / HTTP/1.1\r\nhost: a\r\nx-from: 192.0.2.1\r\nauthorization: {credentials}\r\n\r\n"
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        wait_until("the password is checked", async || arrived.load(Ordering::SeqCst) > guess)
            .await;
    }
    // Once the server has noticed, the rejection does not depend on attempts in flight.
    wait_until("the address is over the limit", async || {
        let rejected = servers.log_in(0, "192.0.2.1", "bob", PASSWORD).await;
        assert_eq!(rejected.status, 429);
        rejected.headers[RETRY_AFTER] == "300"
    })
    .await;
}

/// A shared throttle delays a request, but neither changes the responses.
#[tokio::test]
async fn responses_are_those_of_a_local_throttle() {
    let servers = Servers::start(1).await;
    let local = BasicAuth::new("staff", users()).unwrap().throttle(throttle_by_header()).unwrap();
    let local = serve(local).await;
    for (user_id, password) in [("alice", PASSWORD), ("alice", "x"), ("nobody", "x")] {
        let shared = servers.log_in(0, "192.0.2.1", user_id, password).await;
        let request = local.get("/").header("authorization", basic_header(user_id, password));
        let local = Reply::to(request.header("x-from", "192.0.2.1")).await;
        assert_eq!((shared.status, &shared.body), (local.status, &local.body));
        assert_eq!(shared.challenges(), local.challenges());
    }
    let anonymous = servers.apis[0].get_anonymous("/").await;
    assert_eq!(anonymous.status, 401);
}

#[test]
fn shared_throttle_after_a_clone_is_a_config_error() {
    let staff = BasicAuth::new("staff", users()).unwrap();
    let _clone = staff.clone();
    let store = SwitchedStore::new(TestClock::new()).sealed();
    assert!(staff.throttle(Throttle::by_address(|_| None).shared(store)).is_err());
}
