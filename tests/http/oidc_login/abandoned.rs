//! Logins that were started and never finished.

use std::collections::BTreeMap;

use tower_auth_test_support::user_agent::{Cookie, UserAgent};

use super::{SESSION, Setup, location};

#[tokio::test]
async fn abandoned_logins_leave_at_most_five_cookies() {
    let setup = Setup::new().await;
    let browser = UserAgent::new();
    let long = format!("/account?x={}", "x".repeat(900));
    let mut callbacks = Vec::new();
    for number in 1..=20 {
        let path = format!("/login?return_to={long}");
        callbacks.push(setup.service.callback_of(&browser, &path).await);
        setup.clock.advance(std::time::Duration::from_secs(1));
        let cookies = browser.cookies(&setup.service.url);
        assert!((1..=5).contains(&cookies.len()), "{number}: {}", cookies.len());
        // nginx and others accept 8 KiB for one header.
        assert!(bytes_of(&cookies) <= 6 * 1024 + 64, "{}", bytes_of(&cookies));
    }
    // The latest ones still work, and the oldest one does not.
    for callback in &callbacks[17..] {
        let reply = setup.service.call_back(&browser, callback).await;
        assert_eq!(location(&reply), long);
    }
    let reply = setup.service.call_back(&browser, &callbacks[0]).await;
    assert_eq!(reply.status, 400);
    assert_eq!(setup.service.fetch(&browser, "/api/me").await.status, 200);
}

#[tokio::test]
async fn five_tabs_can_log_in_at_the_same_time() {
    let setup = Setup::new().await;
    let browser = UserAgent::new();
    let mut callbacks = Vec::new();
    for number in 1..=6 {
        let path = format!("/login?return_to=/deep/{number}");
        callbacks.push((number, setup.service.callback_of(&browser, &path).await));
        setup.clock.advance(std::time::Duration::from_secs(1));
    }
    let cookies = browser.cookies(&setup.service.url);
    assert_eq!(cookies.len(), 5);
    assert!(bytes_of(&cookies) < 5 * 800, "{}", bytes_of(&cookies));
    let (_, first) = callbacks.remove(0);
    assert_eq!(setup.service.call_back(&browser, &first).await.status, 400);
    for (number, callback) in callbacks {
        let reply = setup.service.call_back(&browser, &callback).await;
        assert_eq!(location(&reply), format!("/deep/{number}"));
    }
}

/// Returns how much a browser sends for these cookies.
fn bytes_of(cookies: &BTreeMap<String, Cookie>) -> usize {
    cookies.iter().map(|(name, cookie)| name.len() + cookie.value.len() + 3).sum()
}

/// A sibling domain or an old version of the service can leave cookies with this name.
#[tokio::test]
async fn foreign_login_cookies_are_removed_and_do_no_harm() {
    let setup = Setup::new().await;
    let browser = UserAgent::new();
    for number in 0..30 {
        let name = format!("__Host-login-{number:022}");
        browser.set_cookie(&setup.service.url, &name, &"x".repeat(50));
    }
    let reply = setup.service.log_in(&browser).await;
    assert!(reply.body.contains("user-1"));
    let left = setup.service.login_cookies(&browser);
    assert!(left.len() <= 5, "{left:?}");
    assert!(browser.cookie(&setup.service.url, SESSION).is_some());
}
