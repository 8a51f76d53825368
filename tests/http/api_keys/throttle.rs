//! The limit of unknown keys. The header `x-from` names the address, as behind a proxy.

use std::time::Duration;

use futures_util::future::join_all;
use http::{Request, request::Parts};
use tower_auth::{
    Principal, Rejection, RejectionKind,
    api_key::InvalidApiKey,
    bearer::{TokenVerifier, Verification},
    throttle::Throttle,
};

use super::{Fixture, now, reason, unknown_key};

/// With the default limit: ten failures in five minutes.
pub(super) fn throttled() -> Fixture {
    Fixture::with(|builder, clock| {
        let throttle =
            Throttle::by_address(|head| head.headers.get("x-from")?.to_str().ok()?.parse().ok());
        builder.throttle(throttle.clock(clock.clone()))
    })
}

pub(super) fn head(from: &str) -> Parts {
    Request::builder().header("x-from", from).body(()).unwrap().into_parts().0
}

fn send(service: &Fixture, from: &str, key: &str) -> Verification {
    service.keys.verify_request(key.as_bytes(), &head(from))
}

fn result(service: &Fixture, from: &str, key: &str) -> Result<Principal, Rejection> {
    now(send(service, from, key))
}

fn kind(service: &Fixture, from: &str, key: &str) -> RejectionKind {
    result(service, from, key).unwrap_err().kind()
}

/// Sends unknown keys until the address is over the limit, and returns how many were checked.
fn exhaust(service: &Fixture, from: &str) -> usize {
    (0..50)
        .take_while(|_| kind(service, from, &unknown_key()) != RejectionKind::TooManyRequests)
        .count()
}

#[test]
fn address_over_the_limit_gets_429_without_a_call_of_the_store() {
    let service = throttled();
    let (known, unknown) = (service.create(), unknown_key());
    assert_eq!(exhaust(&service, "192.0.2.1"), 10);
    service.store.take_finds();
    for key in [known.key(), &unknown] {
        let rejection = result(&service, "192.0.2.1", key).unwrap_err();
        assert_eq!(rejection.kind(), RejectionKind::TooManyRequests);
        assert_eq!(rejection.retry_after(), Some(Duration::from_secs(30)));
    }
    assert_eq!(service.store.take_finds(), 0);
    // Other addresses are not affected, and neither is a malformed key, which costs nothing.
    assert!(result(&service, "192.0.2.2", known.key()).is_ok());
    let malformed = result(&service, "192.0.2.1", "x").unwrap_err();
    assert_eq!(reason(&malformed), InvalidApiKey::Malformed);
    service.clock.advance(Duration::from_secs(30));
    assert_eq!(kind(&service, "192.0.2.1", &unknown), RejectionKind::InvalidCredentials);
    assert_eq!(kind(&service, "192.0.2.1", &unknown), RejectionKind::TooManyRequests);
}

/// An attacker behind the same NAT must not lock other clients out.
#[test]
fn key_that_was_accepted_before_passes_when_its_address_is_over_the_limit() {
    let service = throttled();
    let (used, unused) = (service.create(), service.create());
    assert!(result(&service, "192.0.2.9", used.key()).is_ok());
    assert_eq!(exhaust(&service, "192.0.2.1"), 10);
    assert!(result(&service, "192.0.2.1", used.key()).is_ok());
    assert_eq!(kind(&service, "192.0.2.1", unused.key()), RejectionKind::TooManyRequests);
    // Not any more once it was rejected.
    now(service.keys.revoke("alice", &used.info().id)).unwrap();
    let revoked = result(&service, "192.0.2.1", used.key()).unwrap_err();
    assert_eq!(reason(&revoked), InvalidApiKey::Revoked);
    assert_eq!(kind(&service, "192.0.2.1", used.key()), RejectionKind::TooManyRequests);
}

#[test]
fn only_unknown_keys_count() {
    let service = throttled();
    let [revoked, inactive, valid] =
        [service.create(), service.create_for("bob"), service.create()];
    now(service.keys.revoke("alice", &revoked.info().id)).unwrap();
    service.accounts.set("bob", None);
    let unknown = unknown_key();
    for _ in 0..30 {
        assert_eq!(kind(&service, "192.0.2.1", "acme_test_x"), RejectionKind::InvalidCredentials);
        for key in [&revoked, &inactive] {
            let rejection = result(&service, "192.0.2.1", key.key()).unwrap_err();
            assert_eq!(rejection.kind(), RejectionKind::InvalidCredentials);
        }
        service.store.set_down(true);
        assert_eq!(kind(&service, "192.0.2.1", &unknown), RejectionKind::Unavailable);
        service.store.set_down(false);
        assert!(result(&service, "192.0.2.1", valid.key()).is_ok());
    }
    // Also if the answer is cached.
    for _ in 0..10 {
        assert_eq!(kind(&service, "192.0.2.1", &unknown), RejectionKind::InvalidCredentials);
    }
    assert_eq!(kind(&service, "192.0.2.1", &unknown), RejectionKind::TooManyRequests);
}

#[test]
fn keys_without_a_request_share_the_limit_of_unknown_addresses() {
    let service = throttled();
    let key = service.create();
    for _ in 0..5 {
        assert_eq!(service.reason(&unknown_key()), InvalidApiKey::Unknown);
        assert_eq!(kind(&service, "?", &unknown_key()), RejectionKind::InvalidCredentials);
    }
    assert_eq!(service.verify(key.key()).unwrap_err().kind(), RejectionKind::TooManyRequests);
    assert!(result(&service, "192.0.2.1", key.key()).is_ok());
    assert!(service.verify(key.key()).is_ok());
}

#[tokio::test]
async fn concurrent_unknown_keys_of_an_address_are_bounded() {
    let service = throttled();
    let gate = service.store.close_gate();
    let keys: Vec<_> = (0..200).map(|_| unknown_key()).collect();
    let burst: Vec<_> = keys.iter().map(|key| send(&service, "192.0.2.1", key)).collect();
    assert_eq!(service.store.take_finds(), 42, "the limit and 32");
    gate.add_permits(200);
    let results = join_all(burst).await;
    let kinds: Vec<_> = results.into_iter().map(|result| result.unwrap_err().kind()).collect();
    let throttled = kinds.iter().filter(|kind| **kind == RejectionKind::TooManyRequests).count();
    assert_eq!(throttled, 158);
    // The excess extends the wait.
    service.clock.advance(Duration::from_secs(30 * 32));
    assert_eq!(exhaust(&service, "192.0.2.1"), 0);
    assert_eq!(service.store.take_finds(), 0);
}

/// Otherwise, one key that is sent many times at once would cost as many calls of the store.
#[tokio::test]
async fn equal_unknown_keys_at_the_same_time_are_bounded_and_count_once() {
    let service = throttled();
    let gate = service.store.close_gate();
    let key = unknown_key();
    let burst: Vec<_> = (0..1000).map(|_| send(&service, "192.0.2.1", &key)).collect();
    assert_eq!(service.store.take_finds(), 42, "the limit and 32");
    let other = send(&service, "192.0.2.2", &key);
    assert_eq!(service.store.take_finds(), 1);
    gate.add_permits(1000);
    let results = join_all(burst).await;
    let kinds: Vec<_> = results.into_iter().map(|result| result.unwrap_err().kind()).collect();
    let throttled = kinds.iter().filter(|kind| **kind == RejectionKind::TooManyRequests).count();
    assert_eq!(throttled, 958);
    assert_eq!(other.await.unwrap_err().kind(), RejectionKind::InvalidCredentials);
    *service.store.gate.lock().unwrap() = None;
    assert_eq!(exhaust(&service, "192.0.2.1"), 9);
    assert_eq!(exhaust(&service, "192.0.2.2"), 9);
}

#[tokio::test]
async fn dropped_request_counts() {
    let service = throttled();
    service.store.close_gate();
    for _ in 0..10 {
        drop(send(&service, "192.0.2.1", &unknown_key()));
    }
    assert_eq!(kind(&service, "192.0.2.1", &unknown_key()), RejectionKind::TooManyRequests);
}

#[tokio::test]
async fn valid_keys_do_not_count_while_they_are_checked() {
    let service = throttled();
    let keys: Vec<_> = (0..40).map(|_| service.create()).collect();
    let gate = service.store.close_gate();
    let burst: Vec<_> = keys.iter().map(|key| send(&service, "192.0.2.1", key.key())).collect();
    gate.add_permits(40);
    assert!(join_all(burst).await.iter().all(Result::is_ok));
}
