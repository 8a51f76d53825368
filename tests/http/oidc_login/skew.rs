//! Clocks of the provider and of the service that differ.

use std::time::Duration;

use serde_json::Value;
use tower_auth_test_support::user_agent::UserAgent;

use super::Setup;

/// Shifts all instants of the ID token by these seconds.
fn shift(claims: &mut Value, seconds: i64) {
    for name in ["iat", "exp", "auth_time"] {
        claims[name] = (claims[name].as_i64().unwrap() + seconds).into();
    }
}

#[tokio::test]
async fn skew_below_the_leeway_is_tolerated_and_more_is_not() {
    for (seconds, expected) in
        [(0, 303), (59, 303), (-59, 303), (70, 502), (-350, 303), (-370, 502), (86_400, 502)]
    {
        let setup = Setup::new().await;
        setup.provider.change_claims(move |claims| shift(claims, seconds));
        let browser = UserAgent::new();
        let callback = setup.callback_of(&browser).await;
        let reply = setup.service.call_back(&browser, &callback).await;
        let events = setup.service.events.take();
        assert_eq!(reply.status, expected, "{seconds}: {events:?}");
    }
}

#[tokio::test]
async fn leeway_is_a_setting() {
    for (seconds, expected) in [(9, 303), (11, 502)] {
        let setup = Setup::with(|login| login.leeway(Duration::from_secs(10))).await;
        setup.provider.change_claims(move |claims| shift(claims, seconds));
        let browser = UserAgent::new();
        let callback = setup.callback_of(&browser).await;
        let reply = setup.service.call_back(&browser, &callback).await;
        assert_eq!(reply.status, expected, "{seconds}: {:?}", setup.service.events.take());
    }
}

/// `exp` of the ID token does not end the session.
#[tokio::test]
async fn session_outlives_the_id_token() {
    let setup = Setup::new().await;
    let browser = setup.browser().await;
    setup.clock.advance(Duration::from_secs(1_200));
    assert_eq!(setup.service.fetch(&browser, "/api/me").await.status, 200);
}

/// A provider whose clock is ahead must not give a login that is fresh for longer, nor one that a
/// logout of the service does not end.
#[tokio::test]
async fn logout_everywhere_ends_a_session_of_a_provider_that_is_ahead() {
    let setup = Setup::new().await;
    setup.provider.change_claims(|claims| shift(claims, 50));
    let browser = setup.browser().await;
    setup.service.sessions.end_all((setup.provider.issuer(), "user-1")).await.unwrap();
    assert_eq!(setup.service.fetch(&browser, "/api/me").await.status, 401);
}
