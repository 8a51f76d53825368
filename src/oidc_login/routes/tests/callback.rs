use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use super::fixture::{App, Browser};
use crate::rejection::{Rejection, RejectionKind};

const FORM: &str = "application/x-www-form-urlencoded";

/// Returns a request with a form that another site sends: no cookies with `SameSite=Lax`.
fn form(browser: &Browser, media_type: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let mut browser = browser.clone();
    browser.cookies.remove("__Host-session");
    let mut request = browser.request("POST", "/callback", Full::new(body.into()));
    let headers = request.headers_mut();
    headers.insert("content-type", media_type.parse().unwrap());
    headers.insert("sec-fetch-site", "cross-site".parse().unwrap());
    headers.insert("origin", "https://provider.example".parse().unwrap());
    request
}

#[tokio::test]
async fn login_starts_a_session_and_removes_its_cookie() {
    let (app, mut browser) = (App::new(), Browser::default());
    let reply = app.log_in(&mut browser, "return_to=/orders").await;
    assert_eq!((reply.status, reply.location()), (303, "/orders"));
    assert_eq!(app.user(&browser).await.as_deref(), Some("alice"));
    assert_eq!(browser.login_cookies(), 0);
    assert!(app.take_events().is_empty());
}

#[tokio::test]
async fn login_in_another_tab_keeps_its_cookie() {
    let (app, mut browser) = (App::new(), Browser::default());
    app.begin(&mut browser, "return_to=/first").await;
    let reply = app.log_in(&mut browser, "return_to=/second").await;
    assert_eq!((reply.location(), browser.login_cookies()), ("/second", 1));
}

#[tokio::test]
async fn login_replaces_the_session_also_after_a_form() {
    for app in [App::new(), App::with(|login| login.form_post())] {
        let mut browser = Browser::default();
        let mut log_in = async || {
            let begun = app.begin(&mut browser, "").await;
            let response = format!("code=c&state={}", begun["state"]);
            let reply = match begun.get("response_mode") {
                Some(_) => {
                    let request = form(&browser, FORM, response);
                    browser.send_request(app.login.callback(), request).await
                }
                None => {
                    let uri = format!("/callback?{response}");
                    browser.send(app.login.callback(), "GET", &uri).await
                }
            };
            assert_eq!(reply.status, 303);
            browser.clone()
        };
        let (first, second) = (log_in().await, log_in().await);
        assert_ne!(first.session(), second.session());
        assert_eq!(app.user(&first).await, None);
        assert_eq!(app.user(&second).await.as_deref(), Some("alice"));
    }
}

#[tokio::test]
async fn response_for_another_browser_is_rejected() {
    let (app, mut attacker, mut victim) = (App::new(), Browser::default(), Browser::default());
    let begun = app.begin(&mut attacker, "").await;
    let callback = format!("/callback?code=c&state={}", begun["state"]);
    let reply = victim.send(app.login.callback(), "GET", &callback).await;
    assert_eq!((reply.status, victim.session()), (400, None));
    assert_eq!(app.take_events(), ["InvalidState"]);
}

#[tokio::test]
async fn repeated_or_missing_parameters_return_400() {
    let (app, mut browser) = (App::new(), Browser::default());
    let state = app.begin(&mut browser, "").await["state"].clone();
    for query in [
        String::new(),
        "code=c".to_owned(),
        format!("code=c&state={state}&state={state}"),
        format!("code=c&code=d&state={state}"),
        format!("code=c&state={state}&iss=https://provider.example&iss=https://provider.example"),
        format!("error=a&error=b&state={state}"),
    ] {
        let uri = format!("/callback?{query}");
        let reply = browser.send(app.login.callback(), "GET", &uri).await;
        assert_eq!((reply.status, browser.session()), (400, None), "{query:.100}");
        assert_eq!(app.take_events(), ["InvalidState"]);
    }
    // None of these has used the state, or removed its cookie.
    let uri = format!("/callback?code=c&state={state}");
    assert_eq!(browser.send(app.login.callback(), "GET", &uri).await.status, 303);
    let reply = browser.send(app.login.callback(), "GET", &uri).await;
    assert_eq!(reply.status, 400);
}

#[tokio::test]
async fn form_must_be_a_form_of_at_most_64_kib() {
    let app = App::with(|login| login.form_post());
    let mut browser = Browser::default();
    let state = app.begin(&mut browser, "").await["state"].clone();
    let response = format!("code=c&state={state}");
    let long = format!("{response}&x={}", "y".repeat(64 * 1024));
    for (media_type, body) in
        [("application/json", &response), ("text/plain", &response), (FORM, &long)]
    {
        let request = form(&browser, media_type, body.clone());
        let reply = browser.send_request(app.login.callback(), request).await;
        assert_eq!((reply.status, browser.session()), (400, None), "{media_type}");
    }
    // The query is not read.
    let mut request = form(&browser, FORM, "");
    *request.uri_mut() = format!("/callback?{response}").parse().unwrap();
    assert_eq!(browser.send_request(app.login.callback(), request).await.status, 400);
    let long = format!("{response}&error_description={}", "y".repeat(60 * 1024));
    let request = form(&browser, &format!("{FORM}; charset=utf-8"), long);
    assert_eq!(browser.send_request(app.login.callback(), request).await.status, 303);
}

#[tokio::test]
async fn rejection_by_the_application_starts_no_session() {
    for (kind, status, event) in [
        (RejectionKind::Forbidden, 403, "Forbidden"),
        (RejectionKind::InvalidCredentials, 403, "Forbidden"),
        (RejectionKind::InsufficientAuthentication, 403, "Insufficient"),
        (RejectionKind::Unavailable, 503, "Unavailable"),
        (RejectionKind::TooManyRequests, 503, "Unavailable"),
        (RejectionKind::Misconfigured, 500, "Misconfigured"),
    ] {
        let app = App::with(|login| {
            login.then(
                move |_| async move { Err(Rejection::new(kind).because("account db1: s3cret")) },
            )
        });
        let mut browser = Browser::default();
        let reply = app.log_in(&mut browser, "").await;
        assert_eq!(reply.status, status, "{kind:?}");
        assert_eq!((browser.session(), browser.login_cookies()), (None, 0));
        assert!(!reply.body.contains("s3cret"));
        assert_eq!(app.take_events(), [event]);
        assert_eq!(reply.headers.contains_key("retry-after"), status == 503);
    }
}

#[tokio::test(start_paused = true)]
async fn application_that_hangs_fails_the_login_after_ten_seconds() {
    let app = App::with(|login| {
        login.then(|_| std::future::pending::<Result<crate::principal::Principal, Rejection>>())
    });
    let mut browser = Browser::default();
    let started = tokio::time::Instant::now();
    let reply = app.log_in(&mut browser, "").await;
    assert!(started.elapsed() >= std::time::Duration::from_secs(10));
    assert!(started.elapsed() < std::time::Duration::from_secs(11));
    assert_eq!(reply.status, 503);
    assert_eq!((browser.session(), browser.login_cookies()), (None, 0));
    assert_eq!(app.take_events(), ["Unavailable"]);
}

#[tokio::test]
async fn retry_after_of_a_rejection_is_sent() {
    let app = App::with(|login| {
        login.then(async |_| {
            let rejection = Rejection::new(RejectionKind::Unavailable);
            Err(rejection.with_retry_after(std::time::Duration::from_millis(31_500)))
        })
    });
    let reply = app.log_in(&mut Browser::default(), "").await;
    assert_eq!(reply.headers["retry-after"], "32");
}

#[tokio::test]
async fn outage_at_any_step_of_the_callback_leaves_no_session() {
    let mut is_complete = false;
    for operations in 0..32 {
        let (app, mut browser) = (App::new(), Browser::default());
        let begun = app.begin(&mut browser, "return_to=/orders").await;
        let callback = format!("/callback?code=c&state={}", begun["state"]);
        app.store.fail_after(operations);
        let reply = browser.send(app.login.callback(), "GET", &callback).await;
        app.store.repair();
        assert_eq!(browser.login_cookies(), 0);
        if reply.status == 303 {
            assert_eq!(app.user(&browser).await.as_deref(), Some("alice"));
            is_complete = true;
            break;
        }
        assert_eq!(reply.status, 503, "{operations}");
        assert_eq!(reply.headers["retry-after"], "5");
        assert_eq!(browser.session(), None);
        assert!(!reply.headers.contains_key("location"));
        assert_eq!(app.take_events(), ["Unavailable"]);
    }
    assert!(is_complete);
}

#[tokio::test]
async fn old_session_survives_an_outage_before_the_login_is_complete() {
    let (app, mut browser) = (App::new(), Browser::default());
    app.log_in(&mut browser, "").await;
    let old = browser.clone();
    let begun = app.begin(&mut browser, "").await;
    app.store.fail_after(0);
    let callback = format!("/callback?code=c&state={}", begun["state"]);
    assert_eq!(browser.send(app.login.callback(), "GET", &callback).await.status, 503);
    app.store.repair();
    assert_eq!(browser.session(), old.session());
    assert_eq!(app.user(&browser).await.as_deref(), Some("alice"));
}

#[tokio::test]
async fn error_of_the_provider_removes_the_login_cookie() {
    for (error, status, event) in [
        ("access_denied", 403, "Denied"),
        ("temporarily_unavailable", 503, "Unavailable"),
        ("invalid_request", 502, "Provider"),
    ] {
        let (app, mut browser) = (App::new(), Browser::default());
        let begun = app.begin(&mut browser, "").await;
        let query = format!("error={error}&error_description=s3cret&state={}", begun["state"]);
        let uri = format!("/callback?{query}");
        let reply = browser.send(app.login.callback(), "GET", &uri).await;
        assert_eq!((reply.status, browser.login_cookies()), (status, 0));
        assert!(!reply.body.contains("s3cret"));
        assert_eq!(app.take_events(), [event]);
    }
}

#[tokio::test]
async fn login_cookie_that_is_sent_twice_is_rejected_and_removed() {
    let app = App::new();
    let mut browser = Browser::default();
    let begun = app.begin(&mut browser, "").await;
    let callback = format!("/callback?code=c&state={}", begun["state"]);
    let mut request = browser.request("GET", &callback, Full::default());
    let twice = format!("{0}; {0}", request.headers()["cookie"].to_str().unwrap());
    request.headers_mut().insert("cookie", twice.parse().unwrap());
    let reply = browser.send_request(app.login.callback(), request).await;
    assert_eq!((reply.status, browser.login_cookies()), (400, 0));
}
