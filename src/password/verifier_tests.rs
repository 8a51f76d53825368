//! Shared hashes, the cache, the queue, and the cost of unknown users.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{FutureExt as _, future::join_all};

use super::{
    hash::PasswordHash,
    store::{HashedUsers, StoredUser, UserStore},
    verifier::HashVerifier,
};
use crate::{
    basic::{
        credentials::BasicCredentials,
        verifier::{PasswordVerifier as _, Verdict},
    },
    rejection::RejectionKind,
};

/// The hash of `password`.
const HASH: &str = "$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe";

/// Returns a verifier for the user `alice`, and the hash of this user.
///
/// The hash counts how often it was computed. It is also the decoy for all unknown users.
fn alice() -> (HashVerifier<HashedUsers>, PasswordHash) {
    let hash = PasswordHash::parse(HASH).unwrap();
    let users = HashedUsers::default().with(StoredUser::new("alice", hash.clone())).unwrap();
    (HashVerifier::new(users), hash)
}

fn credentials(user_id: &str, password: &str) -> BasicCredentials {
    let encoded = STANDARD.encode(format!("{user_id}:{password}"));
    BasicCredentials::decode(encoded.as_bytes()).unwrap()
}

/// Checks a password as `BasicAuth` does.
async fn check(
    verifier: &HashVerifier<impl UserStore>,
    user_id: &str,
    password: &str,
) -> &'static str {
    let credentials = credentials(user_id, password);
    let verdict = match verifier.verify_now(&credentials) {
        Some(verdict) => verdict,
        None => verifier.verify(credentials).await,
    };
    match verdict {
        Verdict::Verified(_) => "verified",
        Verdict::Invalid => "invalid",
        Verdict::Rejected(rejection) => {
            assert_eq!(rejection.kind(), RejectionKind::Unavailable);
            "unavailable"
        }
    }
}

#[tokio::test]
async fn unknown_user_costs_one_hash_like_a_known_user() {
    let (verifier, hash) = alice();
    let fingerprint_count =
        || verifier.verifications.cache.fingerprint_count.swap(0, Ordering::Relaxed);
    let mut fingerprints = Vec::new();
    for (count, user_id) in (1..).zip(["alice", "bob", "alice", "bob", ""]) {
        assert_eq!(check(&verifier, user_id, "another").await, "invalid");
        assert_eq!(hash.check_count(), count, "{user_id:?}");
        fingerprints.push(fingerprint_count());
    }
    assert!(fingerprints.iter().all(|count| *count == fingerprints[0]), "{fingerprints:?}");
    // The password of the decoy is invalid for an unknown user, and is not cached.
    for count in 6..8 {
        assert_eq!(check(&verifier, "bob", "password").await, "invalid");
        assert_eq!(hash.check_count(), count);
    }
}

#[tokio::test]
async fn locked_user_costs_one_hash_and_is_invalid() {
    let hash = PasswordHash::parse(HASH).unwrap();
    let users = HashedUsers::default().with(StoredUser::new("alice", hash.clone())).unwrap();
    let verifier = HashVerifier::new(users.with(StoredUser::locked("carol")).unwrap());
    for (count, user_id) in (1..).zip(["carol", "dave", "carol"]) {
        assert_eq!(check(&verifier, user_id, "password").await, "invalid");
        assert_eq!(hash.check_count(), count, "{user_id:?}");
    }
}

#[test]
fn runtime_that_has_shut_down_returns_unavailable_without_blocking() {
    let (verifier, _) = alice();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let handle = runtime.handle().clone();
    drop(runtime);
    let _entered = handle.enter();
    for _ in 0..3 {
        let outcome = check(&verifier, "alice", "password").now_or_never();
        assert_eq!(outcome, Some("unavailable"));
    }
}

#[tokio::test]
async fn correct_password_is_hashed_once_and_a_wrong_one_each_time() {
    let (verifier, hash) = alice();
    for _ in 0..5 {
        assert_eq!(check(&verifier, "alice", "password").await, "verified");
    }
    assert_eq!(hash.check_count(), 1);
    for count in 2..5 {
        assert_eq!(check(&verifier, "alice", "passwore").await, "invalid");
        assert_eq!(hash.check_count(), count);
    }
    // Failed checks do not evict it.
    assert!(verifier.verify_now(&credentials("alice", "password")).is_some());
}

#[tokio::test]
async fn cached_check_expires_after_the_ttl() {
    let seconds = Arc::new(AtomicU64::new(0));
    let mock = Arc::clone(&seconds);
    let clock = move || UNIX_EPOCH + Duration::from_secs(mock.load(Ordering::Relaxed));
    let (verifier, hash) = alice();
    let verifier = verifier.clock(clock);
    for (now, count) in [(0, 1), (59, 1), (60, 2), (119, 2), (120, 3)] {
        seconds.store(now, Ordering::Relaxed);
        assert_eq!(check(&verifier, "alice", "password").await, "verified");
        assert_eq!(hash.check_count(), count, "after {now} s");
    }
    let verifier = verifier.cache_ttl(Duration::ZERO);
    for count in 4..6 {
        assert_eq!(check(&verifier, "alice", "password").await, "verified");
        assert_eq!(hash.check_count(), count);
    }
}

#[tokio::test]
async fn equal_concurrent_checks_share_one_hash() {
    let (verifier, hash) = alice();
    for (count, (user_id, password, outcome)) in (1..).zip([
        ("alice", "password", "verified"),
        ("alice", "another", "invalid"),
        ("bob", "another", "invalid"),
    ]) {
        let outcomes = join_all((0..32).map(|_| check(&verifier, user_id, password))).await;
        assert_eq!(outcomes, [outcome; 32]);
        assert_eq!(hash.check_count(), count, "{user_id:?} {password:?}");
    }
}

#[tokio::test]
async fn full_queue_returns_unavailable_without_hashing_and_slots_are_released() {
    let (verifier, hash) = alice();
    let verifier = verifier.permits(1).queue(2);
    for round in 1..4 {
        // Known and unknown users share the queue.
        let passwords: Vec<_> = (0..8).map(|at| format!("{round} {at}")).collect();
        let attempts = passwords.iter().zip(["alice", "bob"].into_iter().cycle());
        let outcomes = join_all(attempts.map(|(sent, id)| check(&verifier, id, sent))).await;
        assert_eq!(outcomes[..3], ["invalid"; 3]);
        assert_eq!(outcomes[3..], ["unavailable"; 5]);
        assert_eq!(hash.check_count(), round * 3);
    }
}

#[tokio::test]
async fn dropped_check_continues_and_releases_its_permit() {
    let (verifier, hash) = alice();
    let verifier = verifier.permits(1).queue(0);
    for round in 1..4 {
        let password = format!("another {round}");
        let dropped = check(&verifier, "alice", &password).now_or_never();
        assert_eq!(dropped, None);
        assert_eq!(check(&verifier, "alice", "password").await, "unavailable");
        // The hash continues, and an equal check shares its result.
        assert_eq!(check(&verifier, "alice", &password).await, "invalid");
        assert_eq!(hash.check_count(), round);
    }
    assert_eq!(check(&verifier, "alice", "password").await, "verified");
}
