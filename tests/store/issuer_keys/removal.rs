use std::time::Duration;

use futures_util::future::{join, join_all};
use tower_auth::{
    issue::{KeyUse, RefreshError, SigningKeys},
    store::StoreErrorKind,
    test_util::{TestClock, principal},
};
use tower_auth_test_support::store::SwitchedStore;

use super::{
    HOUR, access_token, active, is_accepted, issuer, kid, published, store_and_clock,
    wait_until_rejected,
};

#[tokio::test(flavor = "multi_thread")]
async fn token_of_a_removed_key_is_rejected_within_10_s() {
    let (store, clock) = store_and_clock();
    let one = issuer(&store, &clock, SigningKeys::eddsa());
    let other = issuer(&store, &clock, SigningKeys::eddsa());
    let token = access_token(&one).await;
    assert!(is_accepted(&one, &token).await && is_accepted(&other, &token).await);
    let successor = published(&one).await.pop().unwrap();
    assert!(one.remove_key(&kid(&token)).await.unwrap());

    // The successor signs at once, and is accepted by all.
    let new = access_token(&one).await;
    assert_eq!(kid(&new), successor);
    assert!(is_accepted(&one, &new).await && is_accepted(&other, &new).await);
    clock.advance(Duration::from_secs(10));
    wait_until_rejected(&one, &token).await;
    wait_until_rejected(&other, &token).await;
    assert!(is_accepted(&one, &new).await && is_accepted(&other, &new).await);
    assert!(!one.remove_key(&kid(&token)).await.unwrap());
}

#[tokio::test]
async fn removed_mac_key_ends_its_logins_and_new_logins_work() {
    let (store, clock) = store_and_clock();
    let issuer = issuer(&store, &clock, SigningKeys::eddsa());
    let alice = principal("alice").build();
    let old = issuer.issue(&alice).await.unwrap();
    let id = active(&issuer, KeyUse::Mac).await;
    assert!(issuer.remove_key(&id).await.unwrap());
    let refreshed = issuer.refresh(old.refresh_token()).await;
    assert!(matches!(refreshed, Err(RefreshError::Malformed)), "{refreshed:?}");

    let new = issuer.issue(&alice).await.unwrap();
    assert!(issuer.refresh(new.refresh_token()).await.is_ok());
    assert_ne!(active(&issuer, KeyUse::Mac).await, id);
}

#[tokio::test]
async fn refresh_token_of_a_key_that_another_instance_made_active_is_accepted() {
    let (store, clock) = store_and_clock();
    let one = issuer(&store, &clock, SigningKeys::eddsa());
    let other = issuer(&store, &clock, SigningKeys::eddsa());
    let alice = principal("alice").build();
    other.issue(&alice).await.unwrap();
    // Two removals, so that the other instance does not know the key that is active then.
    for _ in 0..2 {
        assert!(one.remove_key(&active(&one, KeyUse::Mac).await).await.unwrap());
    }
    let tokens = one.issue(&alice).await.unwrap();
    clock.advance(Duration::from_secs(11));
    assert!(other.refresh(tokens.refresh_token()).await.is_ok());
}

/// Another instance could have removed a key long ago if no request has come since.
#[tokio::test]
async fn removed_mac_key_is_not_used_by_requests_that_arrive_together_after_a_pause() {
    let clock = TestClock::new();
    let store = SwitchedStore::new(clock.clone());
    let one = issuer(&store.sealed(), &clock, SigningKeys::eddsa());
    let idle = issuer(&store.sealed(), &clock, SigningKeys::eddsa());
    let old = idle.issue(&principal("alice").build()).await.unwrap();
    assert!(one.remove_key(&active(&one, KeyUse::Mac).await).await.unwrap());
    clock.advance(Duration::from_secs(HOUR));
    // All of them arrive before the keys are read.
    store.pause();
    let requests = join_all((0..10).map(|_| idle.refresh(old.refresh_token())));
    let (refreshed, ()) = join(requests, async { store.resume() }).await;
    for refreshed in refreshed {
        assert!(matches!(refreshed, Err(RefreshError::Malformed)), "{refreshed:?}");
    }
}

/// A client that gets `invalid_grant` gives up its login.
#[tokio::test]
async fn refresh_token_of_an_unknown_key_is_an_outage_while_the_keys_cannot_be_read() {
    let clock = TestClock::new();
    let store = SwitchedStore::new(clock.clone());
    let one = issuer(&store.sealed(), &clock, SigningKeys::eddsa());
    let other = issuer(&store.sealed(), &clock, SigningKeys::eddsa());
    let alice = principal("alice").build();
    other.issue(&alice).await.unwrap();
    for _ in 0..2 {
        assert!(one.remove_key(&active(&one, KeyUse::Mac).await).await.unwrap());
    }
    let tokens = one.issue(&alice).await.unwrap();
    clock.advance(Duration::from_secs(11));
    store.set_fault(StoreErrorKind::Unavailable);
    let refreshed = other.refresh(tokens.refresh_token()).await;
    assert!(matches!(refreshed, Err(RefreshError::Unavailable(_))), "{refreshed:?}");
    assert!(other.logout(tokens.refresh_token()).await.is_err());
    store.set_fault(None);
    clock.advance(Duration::from_secs(6));
    assert!(other.refresh(tokens.refresh_token()).await.is_ok());
}
