//! The idle timeout, and the absolute lifetime.

use std::time::Duration;

use super::{HOUR, MINUTE, Setup};

#[tokio::test]
async fn idle_session_ends_after_half_an_hour() {
    let setup = Setup::new();
    let service = setup.serve().await;
    let browser = service.browser_of("alice").await;
    setup.clock.advance(30 * MINUTE - Duration::from_secs(1));
    assert_eq!(service.status(&browser, "/me").await, 200);
    // The last request was at this time, to the minute.
    setup.clock.advance(29 * MINUTE);
    assert_eq!(service.status(&browser, "/me").await, 200);
    setup.clock.advance(30 * MINUTE + Duration::from_secs(1));
    assert_eq!(service.status(&browser, "/me").await, 401);
    assert_eq!(service.cookie(&browser), None);
}

#[tokio::test]
async fn used_session_ends_after_twelve_hours() {
    let setup = Setup::new();
    let service = setup.serve().await;
    let browser = service.browser_of("alice").await;
    for _ in 0..36 {
        assert_eq!(service.status(&browser, "/me").await, 200);
        setup.clock.advance(20 * MINUTE);
    }
    assert_eq!(service.status(&browser, "/me").await, 401);
}

#[tokio::test]
async fn settings_change_both_limits() {
    let setup = Setup::with(|sessions| sessions.idle_timeout(2 * HOUR).absolute_lifetime(3 * HOUR));
    let service = setup.serve().await;
    let browser = service.browser_of("alice").await;
    for (advance, expected) in [(119 * MINUTE, 200), (60 * MINUTE, 200), (2 * MINUTE, 401)] {
        setup.clock.advance(advance);
        assert_eq!(service.status(&browser, "/me").await, expected);
    }
    let browser = service.browser_of("alice").await;
    setup.clock.advance(121 * MINUTE);
    assert_eq!(service.status(&browser, "/me").await, 401);
}

/// Requests that are rejected must not keep a session alive.
#[tokio::test]
async fn rejected_cross_site_requests_do_not_extend_a_session() {
    let setup = Setup::new();
    let service = setup.serve().await;
    let browser = service.browser_of("alice").await;
    let cookie = service.cookie(&browser).unwrap();
    for _ in 0..4 {
        setup.clock.advance(10 * MINUTE);
        let request = service.api.request(axum::http::Method::POST, "/me");
        let request = request.header("cookie", format!("__Host-session={cookie}"));
        let response = request.header("sec-fetch-site", "cross-site").send().await.unwrap();
        assert_eq!(response.status(), 403);
    }
    assert_eq!(service.status(&browser, "/me").await, 401);
}

#[tokio::test]
async fn ended_sessions_leave_the_list() {
    let setup = Setup::new();
    let service = setup.serve().await;
    let old = service.browser_of("alice").await;
    setup.clock.advance(20 * MINUTE);
    let new = service.browser_of("alice").await;
    assert_eq!(service.sessions(&new).await.len(), 2);
    setup.clock.advance(20 * MINUTE);
    assert_eq!(service.sessions(&new).await.len(), 1);
    assert_eq!(service.status(&old, "/me").await, 401);
}

/// A clock that goes back must not end sessions, nor make them immortal.
#[tokio::test]
async fn clock_that_goes_back_neither_fails_nor_extends_the_lifetime() {
    use tower_auth::clock::Clock as _;

    let setup = Setup::new();
    let service = setup.serve().await;
    let start = setup.clock.now();
    let browser = service.browser_of("alice").await;
    setup.clock.set(start - 10 * MINUTE);
    assert_eq!(service.status(&browser, "/me").await, 200);
    setup.clock.set(start + 12 * HOUR + MINUTE);
    assert_eq!(service.status(&browser, "/me").await, 401);
}
