//! A throttle that instances share in a real server.

use std::time::{Duration, Instant};

use http::{Request, request::Parts};
use tower_auth::{
    BasicAuth, RejectionKind,
    basic::Users,
    store::{Redis, SealedStore, StoreSecret},
    test_util::TestClock,
    throttle::Throttle,
};
use tower_auth_test_support::redis::RedisServer;

use crate::revocation::test_store::TestStore;

const TIMEOUT: Duration = Duration::from_millis(300);

type Staff = BasicAuth<Users>;

/// Returns an instance with its own connection. The window is long, so that it does not end during
/// a test.
fn instance(server: &RedisServer) -> Staff {
    let redis = Redis::builder(server.url()).unwrap().timeout(TIMEOUT).build().unwrap();
    let secret = StoreSecret::new(*b"0123456789abcdefghijklmnopqrstuv").unwrap();
    let throttle = Throttle::by_address(|head| head.uri.host()?.parse().ok());
    let throttle = throttle.failures(10, Duration::from_secs(86_400 * 365 * 10));
    let users = Users::new([("alice", "correct horse")]).unwrap();
    let throttle = throttle.shared(SealedStore::new(redis, secret));
    BasicAuth::new("staff", users).unwrap().throttle(throttle).unwrap()
}

fn from(address: &str) -> Parts {
    Request::get(format!("http://{address}/")).body(()).unwrap().into_parts().0
}

async fn log_in(staff: &Staff, from: &Parts, password: &str) -> Option<RejectionKind> {
    let started = Instant::now();
    // On a busy machine, timers are late.
    let timer = tokio::spawn(async move {
        tokio::time::sleep(TIMEOUT).await;
        started.elapsed()
    });
    let result = staff.verify("alice", password, from).await;
    let elapsed = started.elapsed();
    if elapsed > TIMEOUT {
        assert!(elapsed < timer.await.unwrap() + Duration::from_millis(200), "{elapsed:?}");
    }
    result.err().map(|rejection| rejection.kind())
}

const WRONG: Option<RejectionKind> = Some(RejectionKind::InvalidCredentials);
const THROTTLED: Option<RejectionKind> = Some(RejectionKind::TooManyRequests);

#[tokio::test(flavor = "multi_thread")]
async fn limit_is_shared_in_redis_and_local_while_it_is_down() {
    let Some(mut server) = RedisServer::redis(&[]) else { return };
    let instances = [instance(&server), instance(&server)];
    let (a, b, c) = (from("192.0.2.1"), from("192.0.2.2"), from("192.0.2.3"));
    for login in 0..20 {
        assert_eq!(log_in(&instances[login % 2], &a, "correct horse").await, None);
    }
    for guess in 0..10 {
        assert_eq!(log_in(&instances[guess % 2], &a, "guess").await, WRONG);
    }
    for staff in &instances {
        assert_eq!(log_in(staff, &a, "correct horse").await, THROTTLED);
        assert_eq!(log_in(staff, &b, "correct horse").await, None);
    }

    server.pause();
    for staff in &instances {
        assert_eq!(log_in(staff, &b, "correct horse").await, None);
        assert_eq!(log_in(staff, &b, "guess").await, WRONG);
        assert_eq!(log_in(staff, &b, "correct horse").await, THROTTLED);
    }
    server.resume();
    wait_until_shared(&instances, &c).await;

    server.kill();
    for staff in &instances {
        assert_eq!(log_in(staff, &c, "guess").await, WRONG);
        assert_eq!(log_in(staff, &c, "correct horse").await, THROTTLED);
    }
    server.start_again();
    wait_until_shared(&instances, &b).await;
}

/// Waits until the instances use the server again, which takes each at most 2 s.
async fn wait_until_shared(instances: &[Staff], from: &Parts) {
    // The local limit of this address may be used up.
    for staff in instances {
        let deadline = Instant::now() + Duration::from_secs(2);
        while log_in(staff, from, "correct horse").await.is_some() {
            assert!(Instant::now() < deadline, "not recovered");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_guesses_over_4_connections_to_valkey_do_not_exceed_the_limit() {
    let Some(server) = RedisServer::valkey(&[]) else { return };
    let instances = [(); 4].map(|()| instance(&server));
    let mut guesses = tokio::task::JoinSet::new();
    for guess in 0..64 {
        let staff = instances[guess % 4].clone();
        guesses.spawn(async move {
            let password = guess.to_string();
            let result = staff.verify("alice", &password, &from("192.0.2.1")).await;
            result.unwrap_err().kind()
        });
    }
    let kinds = guesses.join_all().await;
    let checked = kinds.iter().filter(|kind| **kind == RejectionKind::InvalidCredentials);
    assert_eq!(checked.count(), 10);
}

/// The guide to shared state says so.
#[tokio::test]
async fn store_that_was_emptied_gives_clients_their_attempts_back() {
    let clock = TestClock::new();
    let store = TestStore::new(&clock);
    let secret = StoreSecret::new(*b"0123456789abcdefghijklmnopqrstuv").unwrap();
    let throttle = Throttle::by_address(|head| head.uri.host()?.parse().ok())
        .failures(2, Duration::from_secs(86_400 * 365 * 10))
        .shared(SealedStore::new(store.clone(), secret));
    let users = Users::new([("alice", "correct horse")]).unwrap();
    let staff = BasicAuth::new("staff", users).unwrap().throttle(throttle).unwrap();
    let client = from("192.0.2.1");
    for expected in [WRONG, WRONG, THROTTLED] {
        assert_eq!(log_in(&staff, &client, "guess").await, expected);
    }
    // A rejected address is remembered for a second.
    clock.advance(Duration::from_secs(1));
    assert_eq!(log_in(&staff, &client, "correct horse").await, THROTTLED);
    clock.advance(Duration::from_secs(1));
    store.clear();
    assert_eq!(log_in(&staff, &client, "correct horse").await, None);
}
