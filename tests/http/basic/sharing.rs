//! Identical checks share one hash computation, and successful checks are cached.
//!
//! A [`HashingPause`] blocks the only thread that computes hashes, and there is one permit and no
//! queue. A check that needs a second hash is rejected at once, which is how these tests count hash
//! computations.

use std::{
    error::Error,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt as _, poll};
use tower_auth::{
    basic::{BasicCredentials, PasswordVerifier, Verdict},
    clock::Clock as _,
    password::{HashVerifier, HashedUsers, PasswordHash, StoredUser, UserStore},
    test_util::TestClock,
};
use tower_auth_test_support::stub::wait_until;

use super::{HashingPause, PASSWORD, UNICODE_PASSWORD, basic_header, cheap_hash, on_one_thread};

fn credentials(user_id: &str, password: &str) -> BasicCredentials {
    let header = basic_header(user_id, password);
    BasicCredentials::decode(header.strip_prefix("Basic ").unwrap().as_bytes()).unwrap()
}

/// Alice and bob have the same password and the same hash. Carol has another password.
fn users() -> HashedUsers {
    HashedUsers::new([
        ("alice", cheap_hash(PASSWORD)),
        ("bob", cheap_hash(PASSWORD)),
        ("carol", cheap_hash(UNICODE_PASSWORD)),
    ])
    .unwrap()
}

/// Returns a verifier with one permit and no queue.
fn verifier<S: UserStore>(store: S) -> (HashVerifier<S>, TestClock) {
    let clock = TestClock::new();
    (HashVerifier::new(store).permits(1).queue(0).clock(clock.clone()), clock)
}

fn is_verified(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Verified(_))
}

fn is_invalid(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Invalid)
}

/// Verifies like a layer does.
async fn verify<V: PasswordVerifier>(verifier: &V, user_id: &str, password: &str) -> Verdict {
    let credentials = credentials(user_id, password);
    match verifier.verify_now(&credentials) {
        Some(verdict) => verdict,
        None => verifier.verify(credentials).await,
    }
}

type PendingCheck<'a> = Pin<Box<dyn Future<Output = Verdict> + 'a>>;

/// Starts a check and asserts that it waits for a hash.
async fn start_check<'a, V: PasswordVerifier>(
    verifier: &'a V,
    user_id: &'a str,
    password: &'a str,
) -> PendingCheck<'a> {
    let mut check: PendingCheck<'a> = Box::pin(verify(verifier, user_id, password));
    assert!(poll!(&mut check).is_pending(), "the check of {user_id} did not wait");
    check
}

/// Whether the check is rejected because no permit is free.
async fn is_rejected_without_permit<V: PasswordVerifier>(
    verifier: &V,
    user_id: &str,
    password: &str,
) -> bool {
    let mut check = pin!(verify(verifier, user_id, password));
    match poll!(&mut check) {
        std::task::Poll::Ready(Verdict::Rejected(rejection)) => {
            assert_eq!(rejection.kind(), tower_auth::RejectionKind::Unavailable);
            true
        }
        _ => false,
    }
}

/// Whether the check needs a hash computation. Another check takes the only permit meanwhile.
async fn needs_hash<V: PasswordVerifier>(verifier: &V, user_id: &str, password: &str) -> bool {
    let pause = HashingPause::start().await;
    let other = start_check(verifier, "nobody", "takes the permit").await;
    let needs = is_rejected_without_permit(verifier, user_id, password).await;
    drop(pause);
    assert!(is_invalid(&other.await));
    needs
}

#[test]
fn identical_concurrent_checks_share_one_hash() {
    on_one_thread(async {
        let (verifier, _) = verifier(users());
        for (password, expected) in [(UNICODE_PASSWORD, false), (PASSWORD, true)] {
            let pause = HashingPause::start().await;
            let mut checks = Vec::new();
            for _ in 0..50 {
                checks.push(start_check(&verifier, "alice", password).await);
            }
            assert!(is_rejected_without_permit(&verifier, "alice", "another").await);
            assert!(is_rejected_without_permit(&verifier, "carol", UNICODE_PASSWORD).await);
            assert!(is_rejected_without_permit(&verifier, "nobody", password).await);
            // Bob has the same hash as alice, but must not get the result of her check.
            assert!(is_rejected_without_permit(&verifier, "bob", password).await);
            drop(pause);
            for check in checks {
                assert_eq!(is_verified(&check.await), expected);
            }
        }
    });
}

#[test]
fn check_continues_after_the_first_request_is_dropped() {
    on_one_thread(async {
        let (verifier, _) = verifier(users());
        let pause = HashingPause::start().await;
        let first = start_check(&verifier, "alice", PASSWORD).await;
        let second = start_check(&verifier, "alice", PASSWORD).await;
        drop(first);
        let third = start_check(&verifier, "alice", PASSWORD).await;
        assert!(
            is_rejected_without_permit(&verifier, "carol", UNICODE_PASSWORD).await,
            "the check still holds its permit"
        );
        drop(pause);
        assert!(is_verified(&second.await));
        assert!(is_verified(&third.await));
        assert!(is_verified(&verify(&verifier, "carol", UNICODE_PASSWORD).await));
    });
}

#[test]
fn abandoned_check_completes_and_is_cached() {
    on_one_thread(async {
        let (verifier, _) = verifier(users());
        let pause = HashingPause::start().await;
        drop(start_check(&verifier, "alice", PASSWORD).await);
        assert!(is_rejected_without_permit(&verifier, "carol", UNICODE_PASSWORD).await);
        drop(pause);
        let alice = credentials("alice", PASSWORD);
        wait_until("the result is cached", async || {
            verifier.verify_now(&alice).is_some_and(|verdict| is_verified(&verdict))
        })
        .await;
        assert!(
            is_verified(&verify(&verifier, "carol", UNICODE_PASSWORD).await),
            "the permit is released"
        );
    });
}

#[test]
fn successful_checks_are_cached_and_failed_checks_are_not() {
    on_one_thread(async {
        let (verifier, _) = verifier(users());
        assert!(is_verified(&verify(&verifier, "alice", PASSWORD).await));
        assert!(!needs_hash(&verifier, "alice", PASSWORD).await);
        for _ in 0..3 {
            assert!(is_invalid(&verify(&verifier, "alice", UNICODE_PASSWORD).await));
            assert!(needs_hash(&verifier, "alice", UNICODE_PASSWORD).await);
            assert!(is_invalid(&verify(&verifier, "nobody", PASSWORD).await));
            assert!(needs_hash(&verifier, "nobody", PASSWORD).await);
        }
        assert!(
            needs_hash(&verifier, "bob", PASSWORD).await,
            "bob must not use the cache entry of alice"
        );
        assert!(!needs_hash(&verifier, "alice", PASSWORD).await);
    });
}

#[test]
fn cache_entry_expires_one_minute_after_verification() {
    on_one_thread(async {
        let (verifier, clock) = verifier(users());
        assert!(is_verified(&verify(&verifier, "alice", PASSWORD).await));
        clock.advance(Duration::from_millis(59_999));
        // A cache hit does not extend the lifetime.
        assert!(!needs_hash(&verifier, "alice", PASSWORD).await);
        clock.advance(Duration::from_millis(1));
        assert!(needs_hash(&verifier, "alice", PASSWORD).await);
        assert!(is_verified(&verify(&verifier, "alice", PASSWORD).await));
        assert!(!needs_hash(&verifier, "alice", PASSWORD).await);
        // Setting the clock back does not extend the lifetime, either.
        clock.set(clock.now() - Duration::from_secs(1));
        assert!(needs_hash(&verifier, "alice", PASSWORD).await);
    });
}

#[test]
fn cache_ttl_and_capacity_can_be_configured() {
    on_one_thread(async {
        let (verifier, clock) = verifier(users());
        let verifier = verifier.cache_ttl(Duration::ZERO);
        assert!(is_verified(&verify(&verifier, "alice", PASSWORD).await));
        assert!(needs_hash(&verifier, "alice", PASSWORD).await);

        let verifier = verifier.cache_ttl(Duration::from_secs(3600));
        assert!(is_verified(&verify(&verifier, "alice", PASSWORD).await));
        clock.advance(Duration::from_secs(3599));
        assert!(!needs_hash(&verifier, "alice", PASSWORD).await);

        // A capacity of one evicts entries, but does not change results.
        let verifier = verifier.cache_capacity(1);
        for user_id in ["alice", "bob", "alice", "bob"] {
            assert!(is_verified(&verify(&verifier, user_id, PASSWORD).await));
        }
    });
}

/// A user store that can change, and that has no immediate lookup.
#[derive(Clone, Default)]
struct Accounts(Arc<AccountData>);

#[derive(Default)]
struct AccountData {
    alice: Mutex<Option<StoredUser>>,
    lookups: AtomicUsize,
}

impl Accounts {
    fn set(&self, hash: Option<String>) {
        let alice = hash.map(|hash| StoredUser::new("alice", PasswordHash::parse(&hash).unwrap()));
        *self.0.alice.lock().unwrap() = alice;
    }
}

impl UserStore for Accounts {
    async fn find(
        &self,
        user_id: &str,
    ) -> Result<Option<StoredUser>, Box<dyn Error + Send + Sync>> {
        self.0.lookups.fetch_add(1, Ordering::SeqCst);
        match user_id {
            "alice" => Ok(self.0.alice.lock().unwrap().clone()),
            "outage" => Err("the database is unavailable".into()),
            _ => Ok(None),
        }
    }
}

#[test]
fn changed_hash_or_removed_user_invalidates_the_cache() {
    on_one_thread(async {
        let accounts = Accounts::default();
        let (verifier, _) = verifier(accounts.clone());
        accounts.set(Some(cheap_hash(PASSWORD)));
        assert!(is_verified(&verify(&verifier, "alice", PASSWORD).await));
        assert!(!needs_hash(&verifier, "alice", PASSWORD).await);

        // The same password with a new hash.
        accounts.set(Some(super::fixture_hash("bcrypt 2b", PASSWORD)));
        assert!(needs_hash(&verifier, "alice", PASSWORD).await);
        assert!(is_verified(&verify(&verifier, "alice", PASSWORD).await));

        accounts.set(Some(cheap_hash(UNICODE_PASSWORD)));
        assert!(is_invalid(&verify(&verifier, "alice", PASSWORD).await));
        assert!(is_verified(&verify(&verifier, "alice", UNICODE_PASSWORD).await));

        accounts.set(None);
        assert!(needs_hash(&verifier, "alice", UNICODE_PASSWORD).await);
        assert!(is_invalid(&verify(&verifier, "alice", UNICODE_PASSWORD).await));
    });
}

#[test]
fn store_is_queried_each_time_and_its_outage_returns_unavailable() {
    on_one_thread(async {
        let accounts = Accounts::default();
        accounts.set(Some(cheap_hash(PASSWORD)));
        let (verifier, _) = verifier(accounts.clone());
        for count in 1..=3 {
            assert!(is_verified(&verify(&verifier, "alice", PASSWORD).await));
            assert_eq!(accounts.0.lookups.load(Ordering::SeqCst), count);
        }
        let Verdict::Rejected(rejection) = verify(&verifier, "outage", PASSWORD).await else {
            panic!()
        };
        assert_eq!(rejection.kind(), tower_auth::RejectionKind::Unavailable);
    });
}

/// Hashing needs a tokio runtime. Without one, checks are unavailable and do not panic.
#[test]
fn check_without_a_runtime_is_unavailable() {
    let (verifier, _) = verifier(users());
    for user_id in ["alice", "nobody"] {
        let verdict = verify(&verifier, user_id, PASSWORD).now_or_never().unwrap();
        let Verdict::Rejected(rejection) = verdict else { panic!("{verdict:?}") };
        assert_eq!(rejection.kind(), tower_auth::RejectionKind::Unavailable);
    }
    // The verifier still works inside a runtime.
    on_one_thread(async { assert!(is_verified(&verify(&verifier, "alice", PASSWORD).await)) });
}

/// Runtimes can share a verifier, and one of them can shut down during a check.
#[test]
fn runtime_shutdown_during_a_check_releases_the_permit() {
    let (verifier, _) = verifier(users());
    on_one_thread(async {
        let pause = HashingPause::start().await;
        drop(start_check(&verifier, "alice", PASSWORD).await);
        drop(start_check(&verifier, "alice", PASSWORD).await);
        drop(pause);
    });
    on_one_thread(async {
        assert!(is_verified(&verify(&verifier, "alice", PASSWORD).await));
        assert!(is_verified(&verify(&verifier, "carol", UNICODE_PASSWORD).await));
    });
}
