//! The store is unavailable during a login.

use tower_auth::store::StoreErrorKind;
use tower_auth_test_support::user_agent::UserAgent;

use super::{SESSION, Setup, location};

#[tokio::test]
async fn outage_at_the_callback_gives_503_and_leaves_nothing() {
    for fault in [StoreErrorKind::Unavailable, StoreErrorKind::Full] {
        let setup = Setup::new().await;
        let browser = UserAgent::new();
        let callback = setup.callback_of(&browser).await;
        setup.service.store.set_fault(fault);
        let reply = setup.service.call_back(&browser, &callback).await;
        assert_eq!(reply.status, 503, "{reply:?}");
        assert!(browser.cookie(&setup.service.url, SESSION).is_none());
        // The state could not be consumed, so the code must not be used.
        assert!(setup.provider.received("/token").is_empty());
        setup.service.store.set_fault(None);
        let owner = (setup.provider.issuer(), "user-1");
        assert!(setup.service.sessions.list(owner).await.unwrap().is_empty());
        let events = setup.service.events.take();
        assert!(events.iter().any(|event| event.starts_with("LoginFailed Unavailable")));
        setup.assert_no_secrets(&browser, &events);
        setup.browser().await;
    }
}

/// The state is consumed, and then the session cannot be stored.
#[tokio::test]
async fn outage_after_the_exchange_gives_503_and_leaves_nothing() {
    use std::sync::{Arc, OnceLock};

    use tower_auth::oidc_login::Login;

    let store = Arc::new(OnceLock::new());
    let switch = Arc::clone(&store);
    let setup = Setup::with(|login| {
        login.then(move |login: Login| {
            let store: &tower_auth_test_support::store::SwitchedStore = switch.get().unwrap();
            store.set_fault(StoreErrorKind::Unavailable);
            async move { Ok(login.principal().build()) }
        })
    })
    .await;
    assert!(store.set(setup.service.store.clone()).is_ok());
    let browser = UserAgent::new();
    let callback = setup.callback_of(&browser).await;
    let reply = setup.service.call_back(&browser, &callback).await;
    assert_eq!(reply.status, 503, "{reply:?}");
    assert!(browser.cookie(&setup.service.url, SESSION).is_none());
    assert_eq!(setup.provider.uses_of_codes(), [1]);
    setup.service.store.set_fault(None);
    let owner = (setup.provider.issuer(), "user-1");
    assert!(setup.service.sessions.list(owner).await.unwrap().is_empty());
    // The code is used up: the user starts again.
    let reply = setup.service.call_back(&browser, &callback).await;
    assert_eq!(reply.status, 400, "{reply:?}");
}

/// Starting a login needs no store.
#[tokio::test]
async fn outage_at_the_login_does_not_prevent_it() {
    let setup = Setup::new().await;
    setup.service.store.set_fault(StoreErrorKind::Unavailable);
    let reply = UserAgent::new().open(&setup.service.url("/login")).await;
    assert!(location(&reply).starts_with(setup.provider.issuer()));
}

#[tokio::test]
async fn outage_at_the_logout_gives_503_and_keeps_the_session() {
    let setup = Setup::new().await;
    let browser = setup.browser().await;
    setup.service.store.set_fault(StoreErrorKind::Unavailable);
    let reply = setup.service.post(&browser, "/logout").await;
    assert_eq!(reply.status, 503, "{reply:?}");
    assert!(browser.cookie(&setup.service.url, SESSION).is_some());
    setup.service.store.set_fault(None);
    assert_eq!(setup.service.fetch(&browser, "/api/me").await.status, 200);
}

/// A navigation during an outage must not look like a logout.
#[tokio::test]
async fn outage_does_not_lead_to_the_login() {
    let setup = Setup::new().await;
    let browser = setup.browser().await;
    setup.service.store.set_fault(StoreErrorKind::Unavailable);
    let reply = browser.open(&setup.service.url("/account")).await;
    assert_eq!(reply.status, 503, "{reply:?}");
    assert!(browser.cookie(&setup.service.url, SESSION).is_some());
}
