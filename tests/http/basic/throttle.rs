//! Guessing that is slowed down. The address is that of `x-from`, as behind a proxy; the time is turned.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::ConnectInfo, routing::get};
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
};
use tower_auth_test_support::api::{Api, Reply, greet};

use super::{HORSE, SNOW, cheap, field, guard};

struct Site {
    api: Api,
    clock: TestClock,
}

fn by_header() -> Throttle {
    Throttle::by_address(|head| head.headers.get("x-from")?.to_str().ok()?.parse().ok())
}

fn users() -> Users {
    Users::new([("alice", HORSE), ("bob", HORSE)]).unwrap()
}

impl Site {
    /// Ten wrong tries in five minutes: one comes back every 30 s.
    async fn start() -> Self {
        Self::with(|throttle| throttle).await
    }

    async fn with(change: impl FnOnce(Throttle) -> Throttle) -> Self {
        let clock = TestClock::new();
        let throttle = change(by_header().clock(clock.clone()));
        let staff = BasicAuth::new("staff", users()).unwrap().throttle(throttle).unwrap();
        Self { api: guard(staff).await, clock }
    }

    async fn log_in(&self, from: &str, user_id: &str, password: &str) -> Reply {
        let request = self.api.get("/").header("authorization", field(user_id, password));
        Reply::to(request.header("x-from", from)).await
    }

    async fn status(&self, from: &str, user_id: &str, password: &str) -> u16 {
        self.log_in(from, user_id, password).await.status.as_u16()
    }

    /// How long this one has to wait, in seconds.
    async fn wait(&self, from: &str, user_id: &str) -> u64 {
        let refused = self.log_in(from, user_id, HORSE).await;
        assert_eq!(refused.status, 429);
        refused.headers[RETRY_AFTER].to_str().unwrap().parse().unwrap()
    }

    /// Guesses as often as it may, at most `most` times, and tells how often that was.
    async fn guess(&self, from: &str, user_id: &str, most: usize) -> usize {
        for count in 0..most {
            match self.status(from, user_id, "guess").await {
                401 => {}
                429 => return count,
                other => panic!("{other}"),
            }
        }
        most
    }

    fn turn(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

#[tokio::test]
async fn after_ten_wrong_tries_even_the_right_password_waits() {
    let site = Site::start().await;
    assert_eq!(site.guess("192.0.2.1", "alice", 1).await, 1);
    // About others, too: the address is what has run out.
    for guess in 0..9 {
        assert_eq!(site.status("192.0.2.1", &format!("user {guess}"), "guess").await, 401);
    }
    for (user_id, password) in [("alice", HORSE), ("bob", HORSE), ("nobody", "x"), ("alice", "x")] {
        let refused = site.log_in("192.0.2.1", user_id, password).await;
        assert_eq!(refused.status, 429, "{user_id}");
        assert_eq!(refused.headers[RETRY_AFTER], "30");
        assert!(!refused.headers.contains_key(WWW_AUTHENTICATE), "a browser would ask again");
        assert!(!refused.body.contains(user_id));
    }
    assert_eq!(site.status("192.0.2.2", "alice", HORSE).await, 200);
}

#[tokio::test]
async fn tries_come_back_one_by_one() {
    let site = Site::start().await;
    assert_eq!(site.guess("192.0.2.1", "nobody", 20).await, 10);
    site.turn(29);
    assert_eq!(site.wait("192.0.2.1", "bob").await, 1);
    site.turn(1);
    assert_eq!(site.guess("192.0.2.1", "nobody", 20).await, 1);
    site.turn(30);
    assert_eq!(site.status("192.0.2.1", "bob", HORSE).await, 200, "and it was not used up");
    assert_eq!(site.status("192.0.2.1", "bob", HORSE).await, 200);
    site.turn(60);
    assert_eq!(site.guess("192.0.2.1", "other", 20).await, 3);
    site.turn(300);
    assert_eq!(site.guess("192.0.2.1", "another", 20).await, 10);
}

#[tokio::test]
async fn being_refused_makes_nobody_wait_longer() {
    let site = Site::start().await;
    site.guess("192.0.2.1", "nobody", 10).await;
    for _ in 0..100 {
        assert_eq!(site.wait("192.0.2.1", "bob").await, 30);
    }
    site.turn(30);
    assert_eq!(site.status("192.0.2.1", "bob", HORSE).await, 200);
}

#[tokio::test]
async fn a_right_password_counts_for_nothing_either_way() {
    let site = Site::start().await;
    for _ in 0..50 {
        assert_eq!(site.status("192.0.2.1", "alice", HORSE).await, 200);
    }
    for user in 0..9 {
        assert_eq!(site.status("192.0.2.1", &format!("user {user}"), "guess").await, 401);
        assert_eq!(site.status("192.0.2.1", "alice", HORSE).await, 200);
    }
    assert_eq!(site.status("192.0.2.1", "user 9", "guess").await, 401);
    assert_eq!(site.status("192.0.2.1", "alice", HORSE).await, 429);
}

#[tokio::test]
async fn a_user_whom_many_guess_at_gets_in_from_where_nobody_guessed() {
    let site = Site::start().await;
    for attacker in 0..20 {
        let from = format!("198.51.100.{attacker}");
        assert_eq!(site.status(&from, "alice", "guess").await, 401);
    }
    // Two tries each is what there is for each address from now on.
    for attacker in 0..20 {
        assert_eq!(site.guess(&format!("198.51.100.{attacker}"), "alice", 5).await, 1);
    }
    for attacker in 0..100 {
        assert_eq!(site.guess(&format!("203.0.113.{attacker}"), "alice", 5).await, 2);
    }
    for home in 1..5 {
        let home = format!("192.0.2.{home}");
        for _ in 0..5 {
            assert_eq!(site.status(&home, "alice", HORSE).await, 200);
        }
        assert_eq!(site.status(&home, "alice", "a slip").await, 401);
        assert_eq!(site.status(&home, "alice", HORSE).await, 200);
    }
    // It is about alice alone.
    assert_eq!(site.status("203.0.113.1", "bob", HORSE).await, 200);
    assert_eq!(site.status("203.0.113.1", "alice", HORSE).await, 429);
    // What an address has for her comes back as its other tries do.
    site.turn(30);
    assert_eq!(site.guess("203.0.113.1", "alice", 5).await, 1);
}

#[tokio::test]
async fn an_ipv6_network_counts_as_one_and_a_mapped_address_as_what_it_is() {
    let site = Site::start().await;
    for host in 0..10 {
        let from = format!("2001:db8:0:1::{host}");
        assert_eq!(site.status(&from, &format!("user {host}"), "guess").await, 401);
    }
    assert_eq!(site.status("2001:db8:0:1:ffff:ffff:ffff:ffff", "bob", HORSE).await, 429);
    assert_eq!(site.status("2001:db8:0:2::1", "bob", HORSE).await, 200);
    assert_eq!(site.status("2001:db8:1:1::1", "bob", HORSE).await, 200);

    for user in 0..10 {
        let from = if user % 2 == 0 { "::ffff:192.0.2.7" } else { "192.0.2.7" };
        assert_eq!(site.status(from, &format!("user {user}"), "guess").await, 401);
    }
    assert_eq!(site.status("::ffff:c000:207", "bob", HORSE).await, 429);
    assert_eq!(site.status("192.0.2.7", "bob", HORSE).await, 429);
    assert_eq!(site.status("::ffff:192.0.2.8", "bob", HORSE).await, 200);
    assert_eq!(site.status("192.0.2.8", "bob", HORSE).await, 200);
}

#[tokio::test]
async fn addresses_that_nobody_can_tell_count_as_one() {
    let site = Site::start().await;
    for user in 0..10 {
        let from = if user % 2 == 0 { "unknown" } else { "" };
        assert_eq!(site.status(from, &format!("user {user}"), "guess").await, 401);
    }
    let without = site.api.get("/").header("authorization", field("bob", HORSE));
    assert_eq!(Reply::to(without).await.status, 429);
    assert_eq!(site.status("192.0.2.1", "bob", HORSE).await, 200);
    // It is none of the addresses that there are.
    assert_eq!(site.status("0.0.0.0", "bob", HORSE).await, 200);
    assert_eq!(site.status("::", "bob", HORSE).await, 200);
}

#[tokio::test]
async fn only_wrong_passwords_are_counted() {
    let site = Site::start().await;
    for value in ["Basic", "Basic !", "Basic YWxpY2U=", "Basic //8=", "Bearer x", "Digest x"] {
        for _ in 0..15 {
            let request = site.api.get("/").header("authorization", value);
            let answer = Reply::to(request.header("x-from", "192.0.2.1")).await;
            assert!([400, 401].contains(&answer.status.as_u16()), "{value}: {}", answer.status);
        }
    }
    for _ in 0..15 {
        assert_eq!(Reply::to(site.api.get("/").header("x-from", "192.0.2.1")).await.status, 401);
    }
    assert_eq!(site.guess("192.0.2.1", "nobody", 20).await, 10);
}

/// Knows whether anybody asks it, and whether it can answer.
#[derive(Clone, Default)]
struct Directory {
    asked: Arc<AtomicUsize>,
    is_away: Arc<AtomicBool>,
}

impl Directory {
    async fn guard(&self, clock: &TestClock) -> Site {
        let this = self.clone();
        let verifier = move |sent: BasicCredentials| {
            this.asked.fetch_add(1, Ordering::SeqCst);
            let is_away = this.is_away.load(Ordering::SeqCst);
            async move {
                match sent.password() {
                    _ if is_away => Verdict::unavailable("the directory is away"),
                    HORSE => Verdict::Verified(sent.to_principal().build()),
                    _ => Verdict::Invalid,
                }
            }
        };
        let throttle = by_header().clock(clock.clone());
        let staff = BasicAuth::new("staff", verifier).unwrap().throttle(throttle).unwrap();
        Site { api: guard(staff).await, clock: clock.clone() }
    }
}

#[tokio::test]
async fn an_outage_counts_for_nothing_and_a_throttled_password_is_not_looked_at() {
    let directory = Directory::default();
    let site = directory.guard(&TestClock::new()).await;
    directory.is_away.store(true, Ordering::SeqCst);
    for _ in 0..30 {
        assert_eq!(site.status("192.0.2.1", "alice", "guess").await, 503);
    }
    directory.is_away.store(false, Ordering::SeqCst);
    assert_eq!(site.guess("192.0.2.1", "alice", 20).await, 10);
    let asked = directory.asked.load(Ordering::SeqCst);
    for _ in 0..5 {
        assert_eq!(site.status("192.0.2.1", "alice", HORSE).await, 429);
    }
    assert_eq!(directory.asked.load(Ordering::SeqCst), asked);
}

/// Who was right a moment ago from elsewhere does not let a guesser in, and hashes are throttled as well.
#[tokio::test]
async fn hashed_users_are_throttled_before_anything_is_hashed() {
    let clock = TestClock::new();
    let users = HashedUsers::new([("alice", cheap(HORSE))]).unwrap();
    let verifier = HashVerifier::new(users).clock(clock.clone());
    let throttle = by_header().clock(clock.clone());
    let staff = BasicAuth::new("staff", verifier).unwrap().throttle(throttle).unwrap();
    let site = Site { api: guard(staff).await, clock };
    assert_eq!(site.status("192.0.2.1", "alice", HORSE).await, 200);
    assert_eq!(site.guess("192.0.2.1", "nobody", 20).await, 10);
    assert_eq!(site.status("192.0.2.1", "alice", HORSE).await, 429);
    assert_eq!(site.status("192.0.2.2", "alice", HORSE).await, 200);
    assert_eq!(site.status("192.0.2.2", "alice", SNOW).await, 401);
}

/// Whoever sends thirty guesses before the first is answered has thirty, and pays for them.
#[tokio::test]
async fn tries_at_the_same_time_are_paid_back() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let arrived = Arc::new(AtomicUsize::new(0));
    let here = Arc::clone(&arrived);
    let verifier = move |_: BasicCredentials| {
        here.fetch_add(1, Ordering::SeqCst);
        let held = Arc::clone(&held);
        async move {
            let _ = held.acquire().await;
            Verdict::Invalid
        }
    };
    let clock = TestClock::new();
    let throttle = by_header().clock(clock.clone());
    let staff = BasicAuth::new("staff", verifier).unwrap().throttle(throttle).unwrap();
    let site = Site { api: guard(staff).await, clock };
    let guesses = join_all((0..30).map(|user| {
        let site = &site;
        async move { site.status("192.0.2.1", &format!("user {user}"), "guess").await }
    }));
    let release = async {
        tower_auth_test_support::stub::until("all are there", async || {
            arrived.load(Ordering::SeqCst) == 30
        })
        .await;
        gate.add_permits(30);
    };
    let (statuses, ()) = tokio::join!(guesses, release);
    assert!(statuses.iter().all(|status| *status == 401), "{statuses:?}");
    assert_eq!(site.wait("192.0.2.1", "bob").await, 21 * 30);
}

#[tokio::test]
async fn a_clock_that_is_turned_back_locks_nobody_out() {
    let site = Site::start().await;
    let start = site.clock.now();
    site.turn(10 * 365 * 86_400);
    assert_eq!(site.guess("192.0.2.1", "alice", 20).await, 10);
    for attacker in 0..20 {
        site.guess(&format!("198.51.100.{attacker}"), "alice", 2).await;
    }
    site.clock.set(start);
    assert_eq!(site.status("192.0.2.1", "bob", HORSE).await, 200);
    assert_eq!(site.status("192.0.2.1", "alice", HORSE).await, 200);
    assert_eq!(site.status("198.51.100.1", "alice", HORSE).await, 200);
    // And it counts on from there.
    assert_eq!(site.guess("192.0.2.1", "nobody", 20).await, 10);
    assert_eq!(site.wait("192.0.2.1", "bob").await, 30);
    // A little back makes it wait for what it was, and that much more at the most.
    site.clock.set(start - Duration::from_secs(20));
    assert_eq!(site.wait("192.0.2.1", "bob").await, 50);
}

/// So many in an hour, in a day or in a week; of a user, twice as many.
#[tokio::test]
async fn it_counts_over_any_time() {
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
        let what = format!("{failures} in {seconds} s");
        let per = Duration::from_secs(seconds);
        let site = Site::with(|throttle| throttle.failures(failures, per)).await;
        let many = usize::try_from(failures).unwrap();
        assert_eq!(site.guess("192.0.2.1", "nobody", many + 5).await, many, "{what}");
        let wait = site.wait("192.0.2.1", "bob").await;
        // They come back evenly.
        assert_eq!(wait, (seconds / u64::from(failures)).max(1), "{what}");
        site.turn(wait);
        assert_eq!(site.guess("192.0.2.1", "nobody", 5).await, 1, "{what}");

        for attacker in 0..2 * many {
            let from = format!("198.51.{}.{}", attacker / 250, attacker % 250);
            assert_eq!(site.status(&from, "alice", "guess").await, 401, "{what}");
        }
        let own = if failures == 1 { 1 } else { 2 };
        assert_eq!(site.guess("203.0.113.1", "alice", 5).await, own, "{what}");
        assert_eq!(site.status("192.0.2.2", "alice", HORSE).await, 200, "{what}");
    }
}

#[tokio::test]
async fn a_throttle_that_allows_nothing_allows_one() {
    let site = Site::with(|throttle| throttle.failures(0, Duration::ZERO)).await;
    assert_eq!(site.guess("192.0.2.1", "alice", 5).await, 1);
    site.clock.advance(Duration::from_millis(1));
    assert_eq!(site.status("192.0.2.1", "alice", HORSE).await, 200);
}

#[test]
fn a_throttle_comes_before_the_first_clone() {
    let staff = BasicAuth::new("staff", users()).unwrap();
    let other = staff.clone();
    assert!(staff.throttle(by_header()).is_err());
    assert!(other.throttle(by_header()).is_ok(), "it is the only one now");
}

/// Straight from the socket: two loopback addresses are two.
#[tokio::test]
async fn the_address_of_the_socket_is_one() {
    let throttle = Throttle::by_address(|head| {
        head.extensions.get::<ConnectInfo<SocketAddr>>().map(|from| from.0.ip())
    });
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
    assert_eq!(log_in([127, 0, 0, 1], "alice", HORSE).await, 429);
    if cfg!(target_os = "linux") {
        assert_eq!(log_in([127, 0, 0, 2], "alice", HORSE).await, 200);
    }
}
