//! The share of the hash queue that one client can use.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    task::Poll,
};

use futures_util::poll;
use tower_auth::{
    BasicAuth, Later, Principal, Rejection, RejectionKind,
    basic::PasswordVerifier,
    password::{HashVerifier, HashedUsers},
    store::SealedStore,
    test_util::TestClock,
    throttle::Throttle,
};

use super::{HashingPause, PASSWORD, cheap_hash, on_one_thread, throttle::throttle_by_header};

/// Starts checks of different passwords until one is rejected, and returns how many wait for a
/// hash.
async fn start_checks<V: PasswordVerifier>(
    staff: &BasicAuth<V>,
    from: &str,
    checks: &mut Vec<Check>,
) -> (usize, RejectionKind) {
    let request = http::Request::builder().header("x-from", from).body(()).unwrap();
    let (head, ()) = request.into_parts();
    static GUESSES: AtomicUsize = AtomicUsize::new(0);
    for count in 0..50 {
        let guess = GUESSES.fetch_add(1, Ordering::SeqCst).to_string();
        let mut check = staff.verify("alice", &guess, &head);
        let mut result = poll!(&mut check);
        // A throttle with a store asks it in a task.
        for _ in 0..20 {
            if result.is_pending() {
                tokio::task::yield_now().await;
                result = poll!(&mut check);
            }
        }
        match result {
            Poll::Pending => checks.push(check),
            Poll::Ready(result) => {
                let rejection = result.unwrap_err();
                assert!(rejection.retry_after().is_some());
                return (count, rejection.kind());
            }
        }
    }
    panic!("50 checks wait for a hash");
}

type Check = Later<Result<Principal, Rejection>>;

/// The queue has 8 slots: 2 for an address, 3 for a /56 and 4 for a /48.
#[test]
fn client_with_its_share_of_the_hash_queue_gets_429_and_others_are_served() {
    assert_shares(|throttle| throttle);
}

#[test]
fn shares_of_the_hash_queue_are_the_same_with_a_shared_throttle() {
    assert_shares(|throttle| throttle.shared(SealedStore::memory()));
}

fn assert_shares(change: impl FnOnce(Throttle) -> Throttle) {
    on_one_thread(async {
        let users = HashedUsers::new([("alice", cheap_hash(PASSWORD))]).unwrap();
        let verifier = HashVerifier::new(users).permits(1).queue(7);
        let throttle = change(throttle_by_header().clock(TestClock::new()));
        let staff = BasicAuth::new("staff", verifier).unwrap().throttle(throttle).unwrap();
        let too_many = |count| (count, RejectionKind::TooManyRequests);
        for _ in 0..2 {
            let pause = HashingPause::start().await;
            let mut checks = Vec::new();
            assert_eq!(start_checks(&staff, "192.0.2.1", &mut checks).await, too_many(2));
            // A hash continues after its client has disconnected.
            checks.clear();
            assert_eq!(start_checks(&staff, "192.0.2.1", &mut checks).await, too_many(0));
            for (from, count) in [
                ("2001:db8::1", 2),
                ("2001:db8::2", 0),
                ("2001:db8:0:1::1", 1),
                ("2001:db8:0:2::1", 0),
                ("2001:db8:0:100::1", 1),
                ("2001:db8:0:200::1", 0),
            ] {
                assert_eq!(
                    start_checks(&staff, from, &mut checks).await,
                    too_many(count),
                    "{from}"
                );
            }
            let others = start_checks(&staff, "192.0.2.2", &mut checks).await;
            assert_eq!(others, (2, RejectionKind::TooManyRequests));
            let full = start_checks(&staff, "192.0.2.3", &mut checks).await;
            assert_eq!(full, (0, RejectionKind::Unavailable));
            drop(pause);
            for check in checks {
                assert_eq!(check.await.unwrap_err().kind(), RejectionKind::InvalidCredentials);
            }
        }
    });
}
