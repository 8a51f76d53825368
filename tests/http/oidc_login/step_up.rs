//! Step-up: a page requires a recent or a stronger login (RFC 9470).

use std::time::Duration;

use tower_auth::{Principal, Scheme};
use tower_auth_test_support::user_agent::UserAgent;

use super::{SESSION, Setup, location, query_of};

const MINUTE: Duration = Duration::from_secs(60);

fn seconds(setup: &Setup) -> u64 {
    use tower_auth::clock::Clock as _;
    setup.clock.now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn old_login_is_renewed_at_the_provider() {
    let setup = Setup::new().await;
    let browser = setup.browser().await;
    let fresh = setup.service.url("/fresh?amount=10");
    assert_eq!(browser.open(&fresh).await.status, 200);
    setup.clock.advance(10 * MINUTE);
    // The provider could use its own session, which is as old.
    let old = browser.cookie(&setup.service.url, SESSION).unwrap();
    let reply = browser.open(&fresh).await;
    assert_eq!(reply.status, 303, "{reply:?}");
    let login = location(&reply);
    let query = query_of(&format!("http://x{login}"));
    assert_eq!(query["return_to"], "/fresh?amount=10");
    assert_eq!(query["max_age"], "300");
    let reply = browser.follow(&fresh, reply).await;
    assert!(reply.body.starts_with("/fresh?amount=10 for user-1"), "{reply:?}");
    let request = setup.provider.received("/authorize").pop().unwrap();
    assert_eq!(request.parameters["max_age"], "300");
    // The session has a new id, and the old one has ended.
    assert_ne!(browser.cookie(&setup.service.url, SESSION).unwrap(), old);
    let thief = UserAgent::new();
    thief.set_cookie(&setup.service.url, SESSION, &old);
    assert_eq!(setup.service.fetch(&thief, "/api/me").await.status, 401);
}

#[tokio::test]
async fn fetch_gets_401_with_the_parameters() {
    let setup = Setup::new().await;
    let browser = setup.browser().await;
    setup.clock.advance(10 * MINUTE);
    let reply = setup.service.fetch(&browser, "/fresh").await;
    assert_eq!(reply.status, 401, "{reply:?}");
    let [challenge] = reply.challenges()[..] else { panic!("{reply:?}") };
    assert!(challenge.starts_with("Cookie "), "{challenge}");
    assert!(challenge.contains(r#"error="insufficient_user_authentication""#), "{challenge}");
    assert!(challenge.contains(r#"max_age="300""#), "{challenge}");
    // The session remains.
    assert_eq!(setup.service.fetch(&browser, "/api/me").await.status, 200);
}

#[tokio::test]
async fn stronger_login_is_requested_and_checked() {
    let setup = Setup::new().await;
    let browser = setup.browser().await;
    let reply = browser.visit(&setup.service.url("/gold")).await;
    assert!(reply.body.starts_with("/gold for user-1"), "{reply:?}");
    let request = setup.provider.received("/authorize").pop().unwrap();
    assert_eq!(request.parameters["acr_values"], "urn:gold");
}

/// A provider that does not do what was asked must not cause an endless loop.
#[tokio::test]
async fn provider_that_ignores_the_request_gives_an_error_page() {
    for path in ["/gold", "/fresh"] {
        let setup = Setup::new().await;
        let browser = setup.browser().await;
        let old = browser.cookie(&setup.service.url, SESSION).unwrap();
        setup.provider.set_auth_time(Some(seconds(&setup)));
        setup.clock.advance(10 * MINUTE);
        setup.provider.set_acr("urn:bronze");
        let reply = browser.visit(&setup.service.url(path)).await;
        assert_eq!(reply.status, 403, "{path}: {reply:?}");
        super::assert_is_error_page(&reply);
        let events = setup.service.events.take();
        let is_failure = |event: &String| event.starts_with("LoginFailed Insufficient");
        assert!(events.iter().any(is_failure), "{path}: {events:?}");
        // The session from before remains.
        assert_eq!(browser.cookie(&setup.service.url, SESSION).unwrap(), old);
        assert_eq!(setup.service.fetch(&browser, "/api/me").await.status, 200);
    }
}

/// The provider regards the login as recent for longer than the page does, and asks no user.
#[tokio::test]
async fn provider_whose_clock_is_behind_gives_an_error_page() {
    let setup = Setup::new().await;
    let browser = setup.browser().await;
    setup.provider.set_auth_time(Some(seconds(&setup)));
    setup.clock.advance(5 * MINUTE + MINUTE / 2);
    let reply = browser.visit(&setup.service.url("/fresh")).await;
    assert_eq!(reply.status, 403, "{reply:?}");
    super::assert_is_error_page(&reply);
}

/// An application that drops the claims of the provider cannot have pages that need a step-up.
#[tokio::test]
async fn principal_without_the_claims_gives_an_error_page() {
    for path in ["/fresh", "/gold"] {
        let setup = Setup::with(|login| {
            login.then(async |login| {
                Ok(Principal::builder(login.subject(), Scheme::COOKIE).scopes("read").build())
            })
        });
        let setup = setup.await;
        let browser = setup.browser().await;
        let reply = browser.visit(&setup.service.url(path)).await;
        assert_eq!(reply.status, 403, "{path}: {reply:?}");
        super::assert_is_error_page(&reply);
        assert_eq!(setup.service.fetch(&browser, "/api/me").await.status, 200);
    }
}

#[tokio::test]
async fn step_up_without_auth_time_in_the_id_token_is_rejected() {
    let setup = Setup::new().await;
    let browser = setup.browser().await;
    setup.clock.advance(10 * MINUTE);
    setup.provider.change_claims(|claims| {
        claims.as_object_mut().unwrap().remove("auth_time");
    });
    let reply = browser.visit(&setup.service.url("/fresh")).await;
    assert!([403, 502].contains(&reply.status.as_u16()), "{reply:?}");
}

/// Another user at the step-up replaces the session; the page is then that of this user.
#[tokio::test]
async fn other_user_at_the_step_up_gets_an_own_session() {
    let setup = Setup::new().await;
    let browser = setup.browser().await;
    setup.clock.advance(10 * MINUTE);
    setup.provider.set_user("user-2");
    let reply = browser.visit(&setup.service.url("/fresh")).await;
    assert!(reply.body.contains("for user-2"), "{reply:?}");
}
