//! Logins that were started and never finished.

use tower_auth_test_support::user_agent::UserAgent;

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
        assert!(cookies.len() <= 5, "{number}: {}", cookies.len());
        assert_eq!(cookies.len(), number.min(5));
        let bytes: usize =
            cookies.iter().map(|(name, cookie)| name.len() + cookie.value.len() + 3).sum();
        // Servers and proxies accept at least 8 KiB for one header.
        assert!(bytes <= 5 * 4_096, "{bytes}");
    }
    // The latest ones still work, and the oldest one does not.
    let reply = setup.service.call_back(&browser, &callbacks[19]).await;
    assert_eq!(location(&reply), long);
    let reply = setup.service.call_back(&browser, &callbacks[16]).await;
    assert_eq!(reply.status, 303);
    let reply = setup.service.call_back(&browser, &callbacks[0]).await;
    assert_eq!(reply.status, 400);
    assert_eq!(setup.service.fetch(&browser, "/api/me").await.status, 200);
}

#[tokio::test]
async fn usual_login_cookie_is_small() {
    let setup = Setup::new().await;
    let browser = UserAgent::new();
    setup.callback_of(&browser).await;
    let cookies = browser.cookies(&setup.service.url);
    let bytes: usize = cookies.iter().map(|(name, cookie)| name.len() + cookie.value.len()).sum();
    assert!(bytes < 800, "{bytes}");
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
