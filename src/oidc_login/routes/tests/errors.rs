use http::{Response, request::Parts};

use super::fixture::{App, Browser};
use crate::oidc_login::{LoginError, LoginErrorKind};

#[tokio::test]
async fn default_page_has_no_script_and_a_link_to_the_login() {
    let app = App::with(|login| login.login_path("/log-in&a'b"));
    let reply = Browser::default().send(app.login.callback(), "GET", "/callback?state=x").await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(reply.headers["x-content-type-options"], "nosniff");
    let policy = reply.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'"));
    assert!(policy.contains("frame-ancestors 'none'"));
    assert!(reply.body.contains(r#"<a href="/log-in&amp;a&#39;b">"#), "{}", reply.body);
    assert!(!reply.body.contains("<script"));
    // The reason is for the operator.
    assert!(!reply.body.contains("cookie"));
}

#[tokio::test]
async fn page_of_the_application_gets_the_status_of_the_error() {
    let app = App::with(|login| {
        login.error_page(|error: &LoginError, head: &Parts| {
            assert_eq!(error.kind(), LoginErrorKind::InvalidState);
            assert_eq!(head.uri.path(), "/callback");
            let response = Response::builder().header("content-language", "de");
            response.header("cache-control", "public").body("Fehler").unwrap()
        })
    });
    let reply = Browser::default().send(app.login.callback(), "GET", "/callback?state=x").await;
    assert_eq!((reply.status, &*reply.body), (400, "Fehler"));
    assert_eq!(reply.headers["content-language"], "de");
    assert!(!reply.headers.contains_key("content-security-policy"));
}

#[tokio::test]
async fn misconfiguration_has_no_link_to_the_login() {
    let app = App::with(|login| {
        login.then(async |_| {
            Err(crate::rejection::Rejection::new(crate::rejection::RejectionKind::Misconfigured))
        })
    });
    let reply = app.log_in(&mut Browser::default(), "").await;
    assert_eq!(reply.status, 500);
    assert!(!reply.body.contains("<a "));
}
