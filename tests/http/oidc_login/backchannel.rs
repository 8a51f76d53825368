//! Logouts that the provider sends.

use std::time::{Duration, UNIX_EPOCH};

use axum::http::{Method, header::CONTENT_TYPE};
use serde_json::{Value, json};
use tower_auth::clock::Clock as _;
use tower_auth_test_support::{api::Reply, user_agent::UserAgent};

use super::Setup;

async fn send(setup: &Setup, claims: Value) -> u16 {
    let token = setup.provider.logout_token(claims);
    let url = setup.service.url("/backchannel-logout");
    let request = UserAgent::new().request(Method::POST, &url);
    let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    Reply::to(request.body(format!("logout_token={token}"))).await.status.as_u16()
}

async fn status(setup: &Setup, browser: &UserAgent) -> u16 {
    setup.service.fetch(browser, "/api/me").await.status.as_u16()
}

#[tokio::test]
async fn logout_of_a_session_of_the_provider_ends_only_this_one() {
    let setup = Setup::new().await;
    let one = setup.browser().await;
    setup.provider.set_user("user-2");
    let other = setup.browser().await;
    assert_eq!(send(&setup, json!({ "sid": "sid-of-user-1" })).await, 200);
    assert_eq!(status(&setup, &one).await, 401);
    assert_eq!(status(&setup, &other).await, 200);
}

/// `iat` has whole seconds, and the start of a session has milliseconds.
#[tokio::test]
async fn logout_of_a_subject_ends_sessions_that_started_in_the_same_second() {
    for (login, logout) in [(0, 0), (0, 999), (400, 900), (998, 999)] {
        let setup = Setup::new().await;
        setup.clock.advance(Duration::from_millis(login));
        let browsers = [setup.browser().await, setup.browser().await];
        setup.clock.advance(Duration::from_millis(logout - login));
        assert_eq!(send(&setup, json!({ "sub": "user-1" })).await, 200);
        for browser in &browsers {
            assert_eq!(status(&setup, browser).await, 401, "{login} {logout}");
        }
        // A login right afterwards is valid.
        let again = setup.browser().await;
        assert_eq!(status(&setup, &again).await, 200, "{login} {logout}");
    }
}

#[tokio::test]
async fn user_can_log_in_after_a_logout_by_a_provider_whose_clock_is_ahead() {
    let setup = Setup::new().await;
    let before = setup.browser().await;
    let now = setup.clock.now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(send(&setup, json!({ "sub": "user-1", "iat": now + 55 })).await, 200);
    assert_eq!(status(&setup, &before).await, 401);
    let again = setup.browser().await;
    assert_eq!(status(&setup, &again).await, 200);
    // A later logout, with the time of the same clock.
    setup.clock.advance(Duration::from_secs(1));
    assert_eq!(send(&setup, json!({ "sub": "user-1", "iat": now + 56 })).await, 200);
    assert_eq!(status(&setup, &again).await, 401);
}

#[tokio::test]
async fn logout_token_of_another_provider_ends_nothing() {
    let setup = Setup::new().await;
    let other = super::OidcStub::start(setup.clock.clone()).await;
    let browser = setup.browser().await;
    let url = setup.service.url("/backchannel-logout");
    for claims in
        [json!({ "sub": "user-1" }), json!({ "sub": "user-1", "iss": setup.provider.issuer() })]
    {
        let token = other.logout_token(claims);
        let request = UserAgent::new().request(Method::POST, &url);
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let reply = Reply::to(request.body(format!("logout_token={token}"))).await;
        assert_eq!(reply.status, 400, "{reply:?}");
    }
    assert_eq!(status(&setup, &browser).await, 200);
}
