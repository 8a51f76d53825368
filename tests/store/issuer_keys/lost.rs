//! The store loses the keys, or goes back to an older copy. The guide to shared state has the
//! results.

use std::time::Duration;

use tower_auth::{
    RejectionKind,
    issue::{KeyUse, RefreshError, SigningKeys, TokenIssuer},
    store::{SealedStore, StoreSecret},
    test_util::{TestClock, principal},
};

use super::{access_token, active, is_accepted, issuer, kid, published};
use crate::revocation::test_store::{TestStore, key};

/// Keys that are older than this are read before they are used. Up to 5 s earlier, they are still
/// used while another request reads them.
const MAX_AGE: Duration = Duration::from_secs(66);

fn fixture() -> (TestStore, TestClock, TokenIssuer) {
    let clock = TestClock::new();
    let store = TestStore::new(&clock);
    let sealed = SealedStore::new(store.clone(), StoreSecret::new(key(7)).unwrap());
    let issuer = issuer(&sealed, &clock, SigningKeys::eddsa());
    (store, clock, issuer)
}

#[tokio::test(flavor = "multi_thread")]
async fn emptied_store_ends_all_logins_and_new_logins_work() {
    let (store, clock, issuer) = fixture();
    let alice = principal("alice").build();
    let old = issuer.issue(&alice).await.unwrap();
    assert!(is_accepted(&issuer, old.access_token()).await);
    let mac = active(&issuer, KeyUse::Mac).await;
    store.clear();
    clock.advance(MAX_AGE);

    let rejection = issuer.verifier().verify(old.access_token()).await.unwrap_err();
    assert_eq!(rejection.kind(), RejectionKind::InvalidCredentials, "{rejection:?}");
    let refreshed = issuer.refresh(old.refresh_token()).await;
    assert!(matches!(refreshed, Err(RefreshError::Malformed)), "{refreshed:?}");

    let new = issuer.issue(&alice).await.unwrap();
    assert!(is_accepted(&issuer, new.access_token()).await);
    assert!(issuer.refresh(new.refresh_token()).await.is_ok());
    assert_ne!(kid(new.access_token()), kid(old.access_token()));
    assert_ne!(active(&issuer, KeyUse::Mac).await, mac);
}

#[tokio::test(flavor = "multi_thread")]
async fn older_copy_has_no_later_key_and_each_key_that_was_removed_since() {
    let (store, clock, issuer) = fixture();
    let removed = access_token(&issuer).await;
    let copy = store.snapshot();
    assert!(issuer.remove_key(&kid(&removed)).await.unwrap());
    issuer.rotate_keys().await.unwrap();
    let later = access_token(&issuer).await;
    clock.advance(MAX_AGE);
    assert!(!published(&issuer).await.contains(&kid(&removed)));
    assert!(is_accepted(&issuer, &later).await);

    store.restore(&copy);
    clock.advance(MAX_AGE);
    assert!(published(&issuer).await.contains(&kid(&removed)));
    super::wait_until_rejected(&issuer, &later).await;
    // Nothing shows that the key was removed. It has to be removed again.
    super::wait_until("the removed key to be accepted", async || {
        is_accepted(&issuer, &removed).await
    })
    .await;
    assert!(issuer.remove_key(&kid(&removed)).await.unwrap());
}
