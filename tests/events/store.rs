//! Events of shared stores, as the default observer writes them.

use http::Request;
use std::time::Duration;
use tower_auth::{
    BasicAuth, basic::Users, revocation::Revocations, store::StoreErrorKind, test_util::TestClock,
    throttle::Throttle,
};
use tower_auth_test_support::store::SwitchedStore;

use super::{ALONE, Log};

/// The runtime has one thread, so that the subscriber of this thread also sees other tasks.
#[tokio::test]
async fn outage_of_a_shared_throttle_is_one_warning_and_recovery_is_logged() {
    let _alone = ALONE.lock().await;
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let store = SwitchedStore::new(TestClock::new());
    let users = Users::new([("alice", "correct horse")]).unwrap();
    let throttle = Throttle::by_address(|_| None).shared(store.sealed());
    let staff = BasicAuth::new("staff", users).unwrap().throttle(throttle).unwrap();
    let head = Request::new(()).into_parts().0;
    let log_in = async || assert!(staff.verify("alice", "correct horse", &head).await.is_ok());
    log_in().await;
    assert_eq!(log.count_lines_with(&["store"]), 0);

    store.set_fault(StoreErrorKind::Unavailable);
    for _ in 0..20 {
        log_in().await;
    }
    let words = ["WARN", "the shared store is unavailable", "switched off"];
    assert_eq!(log.count_lines_with(&words), 1);
    assert_eq!(log.count_lines_with(&["store"]), 1);
    store.set_fault(None);
    for _ in 0..20 {
        log_in().await;
    }
    assert_eq!(log.count_lines_with(&["INFO", "the shared store is available again"]), 1);
    store.set_fault(StoreErrorKind::Unavailable);
    log_in().await;
    store.set_fault(None);
    log_in().await;
    assert_eq!(log.count_lines_with(&words), 2);
    assert_eq!(log.count_lines_with(&["store"]), 4);

    for (kind, words) in [
        (StoreErrorKind::Full, ["ERROR", "the shared store is full", "throttle"]),
        (StoreErrorKind::Unreadable, ["ERROR", "in the shared store cannot be read", "throttle"]),
    ] {
        store.set_fault(kind);
        log_in().await;
        log_in().await;
        assert_eq!(log.count_lines_with(&words), 1, "{kind:?}");
    }
    assert_eq!(log.count_lines_with(&["store"]), 6);
    assert_eq!(log.count_lines_with(&["alice"]), 0);
}

#[tokio::test]
async fn revocations_are_logged_without_the_subject() {
    let _alone = ALONE.lock().await;
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let store = SwitchedStore::new(TestClock::new());
    let revocations = Revocations::builder(store.sealed()).clock(TestClock::new());
    let revocations = revocations.longest_token_life(Duration::from_secs(600)).build().unwrap();
    let issuer = "https://issuer.example/\u{1b}[2J";
    revocations.subject(issuer, "alice").await.unwrap();
    revocations.session(issuer, "session 1").await.unwrap();
    revocations.issuer(issuer).await.unwrap();
    for target in ["Subject", "Session", "Issuer"] {
        let words = ["INFO", "access revoked", target, "https://issuer.example/\\u{1b}[2J"];
        assert_eq!(log.count_lines_with(&words), 1, "{target}");
    }
    store.set_fault(StoreErrorKind::Unavailable);
    assert!(revocations.subject(issuer, "alice").await.is_err());
    assert_eq!(log.count_lines_with(&["access revoked"]), 3, "not revoked");
    assert_eq!(log.count_lines_with(&["alice"]) + log.count_lines_with(&["session 1"]), 0);
}
