//! Requests while the store does not answer.

use axum::http::header::SET_COOKIE;
use tower_auth::store::StoreErrorKind;
use tower_auth_test_support::user_agent::UserAgent;

use super::{MINUTE, Setup};

#[tokio::test]
async fn outage_returns_503_and_logs_no_user_out() {
    let setup = Setup::new();
    let service = setup.serve().await;
    let browser = service.browser_of("alice").await;
    let id = service.cookie(&browser).unwrap();
    setup.store.set_fault(StoreErrorKind::Unavailable);
    for path in ["/me", "/sessions", "/admin"] {
        let reply = service.get(&browser, path).await;
        assert_eq!(reply.status, 503, "{path}: {reply:?}");
        assert!(!reply.headers.contains_key(SET_COOKIE), "{reply:?}");
    }
    for path in ["/logout", "/logout/all", "/sessions/x/end", "/login/alice"] {
        let reply = service.post(&browser, path).await;
        assert_eq!(reply.status, 503, "{path}: {reply:?}");
        assert!(!reply.headers.contains_key(SET_COOKIE), "{path}: {reply:?}");
    }
    let other = UserAgent::new();
    assert_eq!(service.post(&other, "/login/alice").await.status, 503);
    assert!(browser.cookies(&service.url("/")).len() == 1);
    setup.store.set_fault(None);
    assert_eq!(service.cookie(&browser), Some(id));
    assert_eq!(service.status(&browser, "/me").await, 200);
    assert_eq!(service.sessions(&browser).await.len(), 1, "a failed login has left a session");
}

/// A request without the cookie needs no store.
#[tokio::test]
async fn outage_does_not_affect_anonymous_requests() {
    let setup = Setup::new();
    let service = setup.serve().await;
    setup.store.set_fault(StoreErrorKind::Unavailable);
    assert_eq!(service.status(&UserAgent::new(), "/me").await, 401);
}

#[tokio::test]
async fn full_store_rejects_logins_and_keeps_sessions() {
    let setup = Setup::new();
    let service = setup.serve().await;
    let browser = service.browser_of("alice").await;
    setup.store.refuse_writes(true);
    for _ in 0..10 {
        setup.clock.advance(2 * MINUTE);
        assert_eq!(service.status(&browser, "/me").await, 200);
    }
    let other = UserAgent::new();
    let reply = service.post(&other, "/login/bob").await;
    assert_eq!(reply.status, 503, "{reply:?}");
    assert!(!reply.headers.contains_key(SET_COOKIE));
    // The logout needs no space.
    assert_eq!(service.post(&browser, "/logout").await.status, 204);
    setup.store.refuse_writes(false);
    assert_eq!(service.status(&browser, "/me").await, 401);
}

#[tokio::test]
async fn unreadable_store_returns_503() {
    let setup = Setup::new();
    let service = setup.serve().await;
    let browser = service.browser_of("alice").await;
    setup.store.set_fault(StoreErrorKind::Unreadable);
    let reply = service.get(&browser, "/me").await;
    assert_eq!(reply.status, 503, "{reply:?}");
    assert!(service.cookie(&browser).is_some());
}
