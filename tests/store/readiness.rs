//! `Health` with a store that fails, the signing keys of an issuer, and sessions.

use std::{
    future::pending,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;
use tower_auth::{
    health::{Health, HealthReport},
    issue::TokenIssuer,
    session::Sessions,
    store::{
        SealedStore, Store, StoreError, StoreErrorKind, StoreFuture, StoreKey, StoreSecret, Ttl,
    },
    test_util::TestClock,
};
use tower_auth_test_support::store::SwitchedStore;

fn reason(report: &HealthReport) -> Option<&'static str> {
    report.components().next().unwrap().reason()
}

#[tokio::test]
async fn store_is_unready_only_while_it_is_unavailable() {
    let clock = TestClock::new();
    let store = SwitchedStore::new(clock.clone());
    let health = Health::new().store("store", &store.sealed()).clock(clock.clone());
    for (fault, expected) in [
        (None, None),
        (Some(StoreErrorKind::Unavailable), Some("unavailable")),
        // It has answered.
        (Some(StoreErrorKind::Full), None),
        (Some(StoreErrorKind::Unavailable), Some("unavailable")),
        (Some(StoreErrorKind::Unreadable), None),
    ] {
        store.set_fault(fault);
        clock.advance(Duration::from_secs(1));
        let report = health.report().await;
        assert_eq!(reason(&report), expected, "{fault:?}");
        assert!(!report.to_json().contains("switched off"));
    }
}

/// A store that never answers.
struct Hanging;

impl Store for Hanging {
    fn get(&self, _: &[StoreKey]) -> StoreFuture<Vec<Option<Bytes>>> {
        StoreFuture::pending(pending::<Result<_, StoreError>>())
    }

    fn put(&self, _: &StoreKey, _: Bytes, _: Ttl) -> StoreFuture<()> {
        unreachable!("only reads are sent")
    }

    fn insert(&self, _: &StoreKey, _: Bytes, _: Ttl) -> StoreFuture<bool> {
        unreachable!("only reads are sent")
    }

    fn replace(&self, _: &StoreKey, _: Bytes, _: Bytes, _: Ttl) -> StoreFuture<bool> {
        unreachable!("only reads are sent")
    }

    fn add(&self, _: &[StoreKey], _: i64, _: Ttl) -> StoreFuture<Vec<i64>> {
        unreachable!("only reads are sent")
    }

    fn take(&self, _: &StoreKey) -> StoreFuture<Option<Bytes>> {
        unreachable!("only reads are sent")
    }

    fn now(&self) -> StoreFuture<SystemTime> {
        unreachable!("only reads are sent")
    }
}

#[tokio::test(start_paused = true)]
async fn store_that_does_not_answer_is_unready_after_a_second() {
    let store =
        SealedStore::new(Hanging, StoreSecret::new(*b"0123456789abcdefghijklmnopqrstuv").unwrap());
    let start = Instant::now();
    let report = Health::new().store("store", &store).report().await;
    assert_eq!(reason(&report), Some("timeout"));
    assert!(start.elapsed() < Duration::from_millis(1_010));
}

#[tokio::test]
async fn signing_keys_are_ready_while_they_can_be_used() {
    let clock = TestClock::new();
    let store = SwitchedStore::new(clock.clone());
    store.set_fault(StoreErrorKind::Unavailable);
    let issuer = TokenIssuer::builder().issuer("https://login.example").audience("orders");
    let issuer = issuer.store(store.sealed()).clock(clock.clone()).build().unwrap();
    let health = Health::new().signing_keys("signing keys", &issuer).clock(clock.clone());
    for (seconds, fault, expected) in [
        (1, Some(StoreErrorKind::Unavailable), Some("unavailable")),
        (10, None, None),
        // The last keys are used.
        (70, Some(StoreErrorKind::Unavailable), None),
        (13 * 3_600, Some(StoreErrorKind::Unavailable), Some("unavailable")),
        (10, None, None),
    ] {
        store.set_fault(fault);
        clock.advance(Duration::from_secs(seconds));
        let report = health.report().await;
        assert_eq!(reason(&report), expected, "{seconds} {fault:?}");
        assert!(!report.to_json().contains("switched off"));
    }
}

#[tokio::test]
async fn cache_of_sessions_is_shown() {
    let (clock, store) = (TestClock::new(), SealedStore::memory());
    let sessions = Sessions::builder(store).clock(clock.clone()).build().unwrap();
    let health = Health::new().sessions("sessions", &sessions).clock(clock.clone());
    let document: Value = serde_json::from_str(&health.report().await.to_json()).unwrap();
    let expected = json!({"name": "sessions", "status": "ready", "required": true,
                          "cached_sessions": 0, "cached_bytes": 0});
    assert_eq!(document["components"][0], expected);
}
