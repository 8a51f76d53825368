//! `response_mode=form_post`: the provider sends its response in a cross-site POST.

use axum::http::Method;
use tower_auth_test_support::user_agent::UserAgent;

use super::{SESSION, Setup, checked_callback, location, query_of, set_cookies};

/// Starts a login, and returns the form that the page of the provider submits.
async fn form_of(setup: &Setup, browser: &UserAgent) -> String {
    let reply = browser.open(&setup.service.url("/login?return_to=/account")).await;
    let [cookie] = set_cookies(&reply)[..] else { panic!("{reply:?}") };
    assert!(cookie.contains("; Secure; HttpOnly; SameSite=None; "), "{cookie}");
    let authorization = location(&reply);
    assert_eq!(query_of(&authorization)["response_mode"], "form_post");
    let page = browser.follow_link(&authorization).await;
    assert_eq!(page.status, 200, "{page:?}");
    page.body
}

#[tokio::test]
async fn form_logs_the_user_in() {
    let setup = Setup::with(|login| login.form_post()).await;
    let browser = UserAgent::new();
    let form = form_of(&setup, &browser).await;
    let page = setup.provider.url("/authorize");
    let reply = browser.submit(&page, &setup.service.url("/callback"), &form).await;
    let reply = checked_callback(reply);
    assert_eq!(location(&reply), "/account", "{:?}", setup.service.events.take());
    let session = &browser.cookies(&setup.service.url)[SESSION];
    assert_eq!(session.same_site, "Lax");
    assert_eq!(browser.open(&setup.service.url("/account")).await.status, 200);
    assert!(setup.service.login_cookies(&browser).is_empty());
    let events = setup.service.events.take();
    setup.assert_no_secrets(&browser, &events);
}

/// The `Lax` cookie of the session does not arrive with the form.
#[tokio::test]
async fn form_ends_the_old_session_although_its_cookie_does_not_arrive() {
    let setup = Setup::with(|login| login.form_post()).await;
    let (browser, page) = (UserAgent::new(), setup.provider.url("/authorize"));
    let mut old = None;
    for _ in 0..2 {
        let form = form_of(&setup, &browser).await;
        browser.submit(&page, &setup.service.url("/callback"), &form).await;
        let session = browser.cookie(&setup.service.url, SESSION).unwrap();
        if let Some(old) = old.replace(session.clone()) {
            assert_ne!(old, session);
            let thief = UserAgent::new();
            thief.set_cookie(&setup.service.url, SESSION, &old);
            assert_eq!(setup.service.fetch(&thief, "/api/me").await.status, 401);
        }
    }
}

#[tokio::test]
async fn form_of_another_browser_is_rejected() {
    let setup = Setup::with(|login| login.form_post()).await;
    let (attacker, victim) = (UserAgent::new(), UserAgent::new());
    let form = form_of(&setup, &attacker).await;
    let callback = setup.service.url("/callback");
    let reply = victim.submit("https://evil.example/", &callback, &form).await;
    setup.assert_failed(&victim, &reply, 400).await;
    assert!(setup.provider.received("/token").is_empty());
}

#[tokio::test]
async fn get_and_large_or_unknown_bodies_are_rejected() {
    let setup = Setup::with(|login| login.form_post()).await;
    let browser = UserAgent::new();
    let form = form_of(&setup, &browser).await;
    let callback = setup.service.url("/callback");
    let reply = browser.open(&format!("{callback}?{form}")).await;
    assert_eq!(reply.status, 405, "{reply:?}");
    let large = format!("{form}&x={}", "x".repeat(128 * 1024));
    let reply = browser.submit(&callback, &callback, &large).await;
    assert!([400, 413].contains(&reply.status.as_u16()), "{reply:?}");
    let json = browser.request(Method::POST, &callback).header("content-type", "application/json");
    let reply = browser.send(json.body("{}")).await;
    assert!(reply.status.is_client_error(), "{reply:?}");
    assert!(setup.provider.received("/token").is_empty());
    // The parameters of the URL are not read.
    let reply = browser.submit(&callback, &format!("{callback}?{form}"), "").await;
    assert!(reply.status.is_client_error(), "{reply:?}");
    assert!(setup.provider.received("/token").is_empty());
}
