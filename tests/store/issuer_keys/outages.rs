use std::{pin::pin, time::Duration};

use futures_util::{FutureExt as _, future::join_all};
use tower_auth::{
    issue::SigningKeys,
    store::StoreErrorKind,
    test_util::{TestClock, principal},
};
use tower_auth_test_support::store::SwitchedStore;

use super::{DAY, HOUR, access_token, get_jwks, issuer, kid, published};

#[tokio::test]
async fn last_keys_are_published_for_half_of_publish_ahead_during_an_outage() {
    let clock = TestClock::new();
    let store = SwitchedStore::new(clock.clone());
    let short = SigningKeys::eddsa().publish_ahead(Duration::from_secs(2 * HOUR));
    for (keys, hours) in [(short, 1), (SigningKeys::eddsa(), 12)] {
        let issuer = issuer(&store.sealed(), &clock, keys);
        let before = published(&issuer).await;
        store.set_fault(StoreErrorKind::Unavailable);
        clock.advance(Duration::from_secs(hours * HOUR));
        assert_eq!(published(&issuer).await, before);
        clock.advance(Duration::from_secs(1));
        let response = get_jwks(&issuer, &[]).await;
        assert_eq!(response.status(), 503);
        assert!(response.headers().contains_key("retry-after"));
        assert_eq!(response.headers()["cache-control"], "no-store");
        store.set_fault(None);
        assert_eq!(published(&issuer).await, before);
    }
}

#[tokio::test]
async fn keys_are_read_again_five_seconds_after_a_failure() {
    let clock = TestClock::new();
    let store = SwitchedStore::new(clock.clone());
    let [one, other] = [1, 2].map(|_| issuer(&store.sealed(), &clock, SigningKeys::eddsa()));
    let before = published(&one).await;
    clock.advance(Duration::from_secs(61));
    store.set_fault(StoreErrorKind::Unavailable);
    assert_eq!(published(&one).await, before);
    store.set_fault(None);
    other.rotate_keys().await.unwrap();
    let after = published(&other).await;
    assert_ne!(after, before);
    clock.advance(Duration::from_millis(4_999));
    assert_eq!(published(&one).await, before);
    clock.advance(Duration::from_millis(1));
    assert_eq!(published(&one).await, after);
}

#[tokio::test]
async fn outage_at_the_start_is_503_until_it_ends() {
    let clock = TestClock::new();
    let store = SwitchedStore::new(clock.clone());
    store.set_fault(StoreErrorKind::Unavailable);
    let issuer = issuer(&store.sealed(), &clock, SigningKeys::eddsa());
    assert_eq!(get_jwks(&issuer, &[]).await.status(), 503);
    store.set_fault(None);
    assert_eq!(published(&issuer).await.len(), 2);
}

#[tokio::test]
async fn full_store_does_not_stop_an_issuer_whose_key_is_due() {
    let clock = TestClock::new();
    let store = SwitchedStore::new(clock.clone());
    let issuer = issuer(&store.sealed(), &clock, SigningKeys::eddsa());
    access_token(&issuer).await;
    let before = published(&issuer).await;
    clock.advance(Duration::from_secs(100 * DAY));
    store.refuse_writes(true);
    assert_eq!(published(&issuer).await, before);
    store.refuse_writes(false);
    let token = access_token(&issuer).await;
    assert_eq!(kid(&token), before[1]);
    clock.advance(Duration::from_secs(61));
    assert!(published(&issuer).await.len() >= 2);
}

#[tokio::test]
async fn cancelled_read_does_not_block_others() {
    let clock = TestClock::new();
    let store = SwitchedStore::new(clock.clone());
    let issuer = issuer(&store.sealed(), &clock, SigningKeys::eddsa());
    store.pause();
    {
        let mut cancelled = pin!(get_jwks(&issuer, &[]));
        assert!(cancelled.as_mut().now_or_never().is_none());
        let mut waiting = pin!(get_jwks(&issuer, &[]));
        assert!(waiting.as_mut().now_or_never().is_none());
    }
    store.resume();
    assert_eq!(published(&issuer).await.len(), 2);
}

#[tokio::test]
async fn requests_use_the_last_keys_while_another_one_reads() {
    let clock = TestClock::new();
    let store = SwitchedStore::new(clock.clone());
    let issuer = issuer(&store.sealed(), &clock, SigningKeys::eddsa());
    published(&issuer).await;
    clock.advance(Duration::from_secs(61));
    store.pause();
    let mut reads = pin!(get_jwks(&issuer, &[]));
    assert!(reads.as_mut().now_or_never().is_none());
    let other = get_jwks(&issuer, &[]).now_or_never();
    assert_eq!(other.unwrap().status(), 200);
    store.resume();
    assert_eq!(reads.await.status(), 200);
}

#[tokio::test]
async fn requests_that_wait_for_the_first_read_fail_together() {
    let clock = TestClock::new();
    let store = SwitchedStore::new(clock.clone());
    let issuer = issuer(&store.sealed(), &clock, SigningKeys::eddsa());
    store.pause();
    let started = std::time::Instant::now();
    let responses = join_all((0..100).map(|_| get_jwks(&issuer, &[]))).await;
    assert!(responses.iter().all(|response| response.status() == 503));
    // One after the other, they would take 20 s.
    assert!(started.elapsed() < 10 * SwitchedStore::TIMEOUT, "{:?}", started.elapsed());
    store.resume();
    assert!(issuer.issue(&principal("alice").build()).await.is_ok());
}
