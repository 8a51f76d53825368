//! Throttling of failed logins. The header `x-from` names the address, as behind a proxy, and the
//! clock is a mock.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, routing::get};
use futures_util::future::join_all;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use tokio::{net::TcpListener, sync::Semaphore};
use tower_auth::{
    AuthenticateLayer, BasicAuth,
    basic::{BasicCredentials, Users, Verdict},
    clock::Clock as _,
    password::{HashVerifier, HashedUsers},
    test_util::TestClock,
    throttle::Throttle,
    transport::Forwarded,
};
use tower_auth_test_support::api::{Api, Reply, greet};

use super::{PASSWORD, UNICODE_PASSWORD, basic_header, cheap_hash, serve_authenticator};

struct Server {
    api: Api,
    clock: TestClock,
}

pub(super) fn throttle_by_header() -> Throttle {
    Throttle::by_address(|head| head.headers.get("x-from")?.to_str().ok()?.parse().ok())
}

fn users() -> Users {
    Users::new([("alice", PASSWORD), ("bob", PASSWORD)]).unwrap()
}

impl Server {
    /// The default limit: ten failures in five minutes, so that one attempt is restored every 30 s.
    async fn start() -> Self {
        Self::with(|throttle| throttle).await
    }

    async fn with(change: impl FnOnce(Throttle) -> Throttle) -> Self {
        let clock = TestClock::new();
        let throttle = change(throttle_by_header().clock(clock.clone()));
        let staff = BasicAuth::new("staff", users()).unwrap().throttle(throttle).unwrap();
        Self { api: serve_authenticator(staff).await, clock }
    }

    async fn log_in(&self, from: &str, user_id: &str, password: &str) -> Reply {
        let request = self.api.get("/").header("authorization", basic_header(user_id, password));
        Reply::to(request.header("x-from", from)).await
    }

    async fn status(&self, from: &str, user_id: &str, password: &str) -> u16 {
        self.log_in(from, user_id, password).await.status.as_u16()
    }

    /// Asserts that the login is throttled, and returns `Retry-After` in seconds.
    async fn retry_after(&self, from: &str, user_id: &str) -> u64 {
        let rejected = self.log_in(from, user_id, PASSWORD).await;
        assert_eq!(rejected.status, 429);
        rejected.headers[RETRY_AFTER].to_str().unwrap().parse().unwrap()
    }

    /// Guesses up to `max` times until it is throttled, and returns the number of failed logins.
    async fn guess(&self, from: &str, user_id: &str, max: usize) -> usize {
        for count in 0..max {
            match self.status(from, user_id, "guess").await {
                401 => {}
                429 => return count,
                other => panic!("{other}"),
            }
        }
        max
    }

    fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

#[tokio::test]
async fn ten_failed_logins_return_429_even_for_the_right_password() {
    let server = Server::start().await;
    assert_eq!(server.guess("192.0.2.1", "alice", 1).await, 1);
    // Guesses for other users count, too, because the limit is per address.
    for guess in 0..9 {
        assert_eq!(server.status("192.0.2.1", &format!("user {guess}"), "guess").await, 401);
    }
    for (user_id, password) in
        [("alice", PASSWORD), ("bob", PASSWORD), ("nobody", "x"), ("alice", "x")]
    {
        let rejected = server.log_in("192.0.2.1", user_id, password).await;
        assert_eq!(rejected.status, 429, "{user_id}");
        assert_eq!(rejected.headers[RETRY_AFTER], "30");
        assert!(
            !rejected.headers.contains_key(WWW_AUTHENTICATE),
            "a challenge would make browsers prompt again"
        );
        assert!(!rejected.body.contains(user_id));
    }
    assert_eq!(server.status("192.0.2.2", "alice", PASSWORD).await, 200);
}

#[tokio::test]
async fn attempts_are_restored_one_by_one() {
    let server = Server::start().await;
    assert_eq!(server.guess("192.0.2.1", "nobody", 20).await, 10);
    server.advance(29);
    assert_eq!(server.retry_after("192.0.2.1", "bob").await, 1);
    server.advance(1);
    assert_eq!(server.guess("192.0.2.1", "nobody", 20).await, 1);
    server.advance(30);
    assert_eq!(
        server.status("192.0.2.1", "bob", PASSWORD).await,
        200,
        "a successful login uses up no attempt"
    );
    assert_eq!(server.status("192.0.2.1", "bob", PASSWORD).await, 200);
    server.advance(60);
    assert_eq!(server.guess("192.0.2.1", "other", 20).await, 3);
    server.advance(300);
    assert_eq!(server.guess("192.0.2.1", "another", 20).await, 10);
}

#[tokio::test]
async fn throttled_requests_do_not_extend_the_wait() {
    let server = Server::start().await;
    server.guess("192.0.2.1", "nobody", 10).await;
    for _ in 0..100 {
        assert_eq!(server.retry_after("192.0.2.1", "bob").await, 30);
    }
    server.advance(30);
    assert_eq!(server.status("192.0.2.1", "bob", PASSWORD).await, 200);
}

#[tokio::test]
async fn successful_logins_do_not_change_the_limit() {
    let server = Server::start().await;
    for _ in 0..50 {
        assert_eq!(server.status("192.0.2.1", "alice", PASSWORD).await, 200);
    }
    for user in 0..9 {
        assert_eq!(server.status("192.0.2.1", &format!("user {user}"), "guess").await, 401);
        assert_eq!(server.status("192.0.2.1", "alice", PASSWORD).await, 200);
    }
    assert_eq!(server.status("192.0.2.1", "user 9", "guess").await, 401);
    assert_eq!(server.status("192.0.2.1", "alice", PASSWORD).await, 429);
}

#[tokio::test]
async fn attacked_user_can_log_in_from_an_unaffected_address() {
    let server = Server::start().await;
    for attacker in 0..20 {
        let from = format!("198.51.100.{attacker}");
        assert_eq!(server.status(&from, "alice", "guess").await, 401);
    }
    // From now on, each address has two attempts for alice.
    for attacker in 0..20 {
        assert_eq!(server.guess(&format!("198.51.100.{attacker}"), "alice", 5).await, 1);
    }
    for attacker in 0..100 {
        assert_eq!(server.guess(&format!("203.0.113.{attacker}"), "alice", 5).await, 2);
    }
    for home in 1..5 {
        let home = format!("192.0.2.{home}");
        for _ in 0..5 {
            assert_eq!(server.status(&home, "alice", PASSWORD).await, 200);
        }
        assert_eq!(server.status(&home, "alice", "a slip").await, 401);
        assert_eq!(server.status(&home, "alice", PASSWORD).await, 200);
    }
    // Other users are not affected.
    assert_eq!(server.status("203.0.113.1", "bob", PASSWORD).await, 200);
    assert_eq!(server.status("203.0.113.1", "alice", PASSWORD).await, 429);
    // The attempts for alice are restored at the same rate as other attempts.
    server.advance(30);
    assert_eq!(server.guess("203.0.113.1", "alice", 5).await, 1);
}

#[tokio::test]
async fn ipv6_network_counts_as_one_address_and_mapped_address_as_ipv4() {
    let server = Server::start().await;
    for host in 0..10 {
        let from = format!("2001:db8:0:1::{host}");
        assert_eq!(server.status(&from, &format!("user {host}"), "guess").await, 401);
    }
    assert_eq!(server.status("2001:db8:0:1:ffff:ffff:ffff:ffff", "bob", PASSWORD).await, 429);
    assert_eq!(server.status("2001:db8:0:2::1", "bob", PASSWORD).await, 200);
    assert_eq!(server.status("2001:db8:1:1::1", "bob", PASSWORD).await, 200);

    for user in 0..10 {
        let from = if user % 2 == 0 { "::ffff:192.0.2.7" } else { "192.0.2.7" };
        assert_eq!(server.status(from, &format!("user {user}"), "guess").await, 401);
    }
    assert_eq!(server.status("::ffff:c000:207", "bob", PASSWORD).await, 429);
    assert_eq!(server.status("192.0.2.7", "bob", PASSWORD).await, 429);
    assert_eq!(server.status("::ffff:192.0.2.8", "bob", PASSWORD).await, 200);
    assert_eq!(server.status("192.0.2.8", "bob", PASSWORD).await, 200);
}

#[tokio::test]
async fn requests_without_a_known_address_share_one_limit() {
    let server = Server::start().await;
    for user in 0..10 {
        let from = if user % 2 == 0 { "unknown" } else { "" };
        assert_eq!(server.status(from, &format!("user {user}"), "guess").await, 401);
    }
    let without_address =
        server.api.get("/").header("authorization", basic_header("bob", PASSWORD));
    assert_eq!(Reply::to(without_address).await.status, 429);
    assert_eq!(server.status("192.0.2.1", "bob", PASSWORD).await, 200);
    // The shared limit does not apply to any real address.
    assert_eq!(server.status("0.0.0.0", "bob", PASSWORD).await, 200);
    assert_eq!(server.status("::", "bob", PASSWORD).await, 200);
}

#[tokio::test]
async fn missing_and_malformed_credentials_do_not_count() {
    let server = Server::start().await;
    for value in ["Basic", "Basic !", "Basic YWxpY2U=", "Basic //8=", "Bearer x", "Digest x"] {
        for _ in 0..15 {
            let request = server.api.get("/").header("authorization", value);
            let response = Reply::to(request.header("x-from", "192.0.2.1")).await;
            assert!([400, 401].contains(&response.status.as_u16()), "{value}: {}", response.status);
        }
    }
    for _ in 0..15 {
        assert_eq!(Reply::to(server.api.get("/").header("x-from", "192.0.2.1")).await.status, 401);
    }
    assert_eq!(server.guess("192.0.2.1", "nobody", 20).await, 10);
}

/// A user directory that counts lookups and can be unavailable.
#[derive(Clone, Default)]
struct Directory {
    lookups: Arc<AtomicUsize>,
    is_unavailable: Arc<AtomicBool>,
}

impl Directory {
    async fn serve(&self, clock: &TestClock) -> Server {
        let this = self.clone();
        let verifier = move |credentials: BasicCredentials| {
            this.lookups.fetch_add(1, Ordering::SeqCst);
            let is_unavailable = this.is_unavailable.load(Ordering::SeqCst);
            async move {
                match credentials.password() {
                    _ if is_unavailable => Verdict::unavailable("the directory is unavailable"),
                    PASSWORD => Verdict::Verified(credentials.to_principal().build()),
                    _ => Verdict::Invalid,
                }
            }
        };
        let throttle = throttle_by_header().clock(clock.clone());
        let staff = BasicAuth::new("staff", verifier).unwrap().throttle(throttle).unwrap();
        Server { api: serve_authenticator(staff).await, clock: clock.clone() }
    }
}

#[tokio::test]
async fn outage_does_not_count_and_throttled_password_is_not_verified() {
    let directory = Directory::default();
    let server = directory.serve(&TestClock::new()).await;
    directory.is_unavailable.store(true, Ordering::SeqCst);
    for _ in 0..30 {
        assert_eq!(server.status("192.0.2.1", "alice", "guess").await, 503);
    }
    directory.is_unavailable.store(false, Ordering::SeqCst);
    assert_eq!(server.guess("192.0.2.1", "alice", 20).await, 10);
    let lookups = directory.lookups.load(Ordering::SeqCst);
    for _ in 0..5 {
        assert_eq!(server.status("192.0.2.1", "alice", PASSWORD).await, 429);
    }
    assert_eq!(directory.lookups.load(Ordering::SeqCst), lookups);
}

/// A cached verification does not bypass the throttle.
#[tokio::test]
async fn throttled_address_is_rejected_despite_a_cached_verification() {
    let clock = TestClock::new();
    let users = HashedUsers::new([("alice", cheap_hash(PASSWORD))]).unwrap();
    let verifier = HashVerifier::new(users).clock(clock.clone());
    let throttle = throttle_by_header().clock(clock.clone());
    let staff = BasicAuth::new("staff", verifier).unwrap().throttle(throttle).unwrap();
    let server = Server { api: serve_authenticator(staff).await, clock };
    assert_eq!(server.status("192.0.2.1", "alice", PASSWORD).await, 200);
    assert_eq!(server.guess("192.0.2.1", "nobody", 20).await, 10);
    assert_eq!(server.status("192.0.2.1", "alice", PASSWORD).await, 429);
    assert_eq!(server.status("192.0.2.2", "alice", PASSWORD).await, 200);
    assert_eq!(server.status("192.0.2.2", "alice", UNICODE_PASSWORD).await, 401);
}

/// Guesses sent before the first result are all checked, and all of them count.
#[tokio::test]
async fn concurrent_failures_extend_the_wait() {
    let gate = Arc::new(Semaphore::new(0));
    let verifier_gate = Arc::clone(&gate);
    let arrived = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&arrived);
    let verifier = move |_: BasicCredentials| {
        counter.fetch_add(1, Ordering::SeqCst);
        let gate = Arc::clone(&verifier_gate);
        async move {
            let _ = gate.acquire().await;
            Verdict::Invalid
        }
    };
    let clock = TestClock::new();
    let throttle = throttle_by_header().clock(clock.clone());
    let staff = BasicAuth::new("staff", verifier).unwrap().throttle(throttle).unwrap();
    let server = Server { api: serve_authenticator(staff).await, clock };
    let guesses = join_all((0..30).map(|user| {
        let server = &server;
        async move { server.status("192.0.2.1", &format!("user {user}"), "guess").await }
    }));
    let release = async {
        tower_auth_test_support::stub::wait_until("all guesses arrived", async || {
            arrived.load(Ordering::SeqCst) == 30
        })
        .await;
        gate.add_permits(30);
    };
    let (statuses, ()) = tokio::join!(guesses, release);
    assert!(statuses.iter().all(|status| *status == 401), "{statuses:?}");
    assert_eq!(server.retry_after("192.0.2.1", "bob").await, 21 * 30);
}

#[tokio::test]
async fn clock_set_back_locks_out_no_user() {
    let server = Server::start().await;
    let start = server.clock.now();
    server.advance(10 * 365 * 86_400);
    assert_eq!(server.guess("192.0.2.1", "alice", 20).await, 10);
    for attacker in 0..20 {
        server.guess(&format!("198.51.100.{attacker}"), "alice", 2).await;
    }
    server.clock.set(start);
    assert_eq!(server.status("192.0.2.1", "bob", PASSWORD).await, 200);
    assert_eq!(server.status("192.0.2.1", "alice", PASSWORD).await, 200);
    assert_eq!(server.status("198.51.100.1", "alice", PASSWORD).await, 200);
    // Counting continues from the new time.
    assert_eq!(server.guess("192.0.2.1", "nobody", 20).await, 10);
    assert_eq!(server.retry_after("192.0.2.1", "bob").await, 30);
    // Setting the clock back by 20 s extends the wait by at most 20 s.
    server.clock.set(start - Duration::from_secs(20));
    assert_eq!(server.retry_after("192.0.2.1", "bob").await, 50);
}

/// The limit per user is twice the limit per address.
#[tokio::test]
async fn number_of_failures_and_period_can_be_configured() {
    for (failures, seconds) in [
        (1, 1),
        (3, 3_600),
        (10, 3_600),
        (10, 86_400),
        (20, 86_400),
        (100, 86_400),
        (5, 7 * 86_400),
        (3, 365 * 86_400),
    ] {
        let label = format!("{failures} in {seconds} s");
        let per = Duration::from_secs(seconds);
        let server = Server::with(|throttle| throttle.failures(failures, per)).await;
        let limit = usize::try_from(failures).unwrap();
        assert_eq!(server.guess("192.0.2.1", "nobody", limit + 5).await, limit, "{label}");
        let wait = server.retry_after("192.0.2.1", "bob").await;
        // Attempts are restored at a constant rate.
        assert_eq!(wait, (seconds / u64::from(failures)).max(1), "{label}");
        server.advance(wait);
        assert_eq!(server.guess("192.0.2.1", "nobody", 5).await, 1, "{label}");

        for attacker in 0..2 * limit {
            let from = format!("198.51.{}.{}", attacker / 250, attacker % 250);
            assert_eq!(server.status(&from, "alice", "guess").await, 401, "{label}");
        }
        let attempts_for_alice = if failures == 1 { 1 } else { 2 };
        assert_eq!(server.guess("203.0.113.1", "alice", 5).await, attempts_for_alice, "{label}");
        assert_eq!(server.status("192.0.2.2", "alice", PASSWORD).await, 200, "{label}");
    }
}

#[tokio::test]
async fn limit_of_zero_failures_allows_one() {
    let server = Server::with(|throttle| throttle.failures(0, Duration::ZERO)).await;
    assert_eq!(server.guess("192.0.2.1", "alice", 5).await, 1);
    server.clock.advance(Duration::from_millis(1));
    assert_eq!(server.status("192.0.2.1", "alice", PASSWORD).await, 200);
}

#[test]
fn throttle_after_a_clone_is_a_config_error() {
    let staff = BasicAuth::new("staff", users()).unwrap();
    let other = staff.clone();
    assert!(staff.throttle(throttle_by_header()).is_err());
    assert!(other.throttle(throttle_by_header()).is_ok(), "the other clone was dropped");
}

/// Two loopback addresses have separate limits.
#[tokio::test]
async fn socket_address_can_be_the_throttled_address() {
    let throttle = Throttle::new(Forwarded::direct());
    let staff = BasicAuth::new("staff", users()).unwrap().throttle(throttle).unwrap();
    let app = Router::new().route("/", get(greet)).layer(AuthenticateLayer::new(staff));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    let log_in = async |from: [u8; 4], user_id: &str, password: &str| {
        let client = reqwest::Client::builder().no_proxy().local_address(Some(from.into()));
        let request = client.build().unwrap().get(format!("http://{address}/"));
        Reply::to(request.basic_auth(user_id, Some(password))).await.status.as_u16()
    };
    for _ in 0..10 {
        assert_eq!(log_in([127, 0, 0, 1], "alice", "guess").await, 401);
    }
    assert_eq!(log_in([127, 0, 0, 1], "alice", PASSWORD).await, 429);
    if cfg!(target_os = "linux") {
        assert_eq!(log_in([127, 0, 0, 2], "alice", PASSWORD).await, 200);
    }
}
