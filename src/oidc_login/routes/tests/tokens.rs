use http_body_util::Full;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::fixture::{App, Browser};
use crate::{
    header::Scheme,
    issue::{TokenIssuer, TokenRoutes},
    principal::Principal,
    rejection::Rejection,
};

/// Returns an application that issues tokens, and its routes for the tokens.
fn app() -> (App, TokenIssuer, TokenRoutes) {
    let mut issuer = None;
    let app = App::build(|login, sessions| {
        let built = TokenIssuer::builder()
            .issuer("https://app.example")
            .audience("orders")
            .store(sessions.store().clone())
            .build()
            .unwrap();
        issuer = Some(built.clone());
        login.tokens(built).then(async |login| {
            let claims = json!({
                "auth_time": login.claim::<u64>("auth_time").unwrap(),
                "acr": "gold",
                "amr": ["pwd", "otp"],
            });
            let user = Principal::builder("user-7", Scheme::COOKIE).scopes(["read"]);
            Ok::<_, Rejection>(user.claims(&claims).unwrap().build())
        })
    });
    let issuer = issuer.unwrap();
    let routes = TokenRoutes::without_passwords(issuer.clone()).cookie().build().unwrap();
    (app, issuer, routes)
}

/// Refreshes as the script of a page does, and returns the access token.
async fn access_token(browser: &Browser, routes: &TokenRoutes) -> Option<String> {
    use http_body_util::BodyExt as _;

    let request = browser.request("POST", "/token/refresh", Full::<bytes::Bytes>::default());
    let response = routes.refresh().oneshot(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    Some(body.get("access_token")?.as_str()?.to_owned())
}

#[tokio::test]
async fn login_sets_the_refresh_cookie_of_the_token_routes() {
    let (app, issuer, routes) = app();
    let mut browser = Browser::default();
    app.provider.set("auth_time", 1_700_000_000);
    let reply = app.log_in(&mut browser, "return_to=/orders").await;
    assert_eq!((reply.status, reply.location()), (303, "/orders"));
    let lines: Vec<_> = reply.headers.get_all("set-cookie").iter().collect();
    let refresh = lines.iter().find(|line| line.as_bytes().starts_with(b"__Host-refresh="));
    assert!(refresh.unwrap().to_str().unwrap().contains("; SameSite=Strict"));
    assert_eq!((browser.login_cookies(), browser.session()), (0, None));

    let token = access_token(&browser, &routes).await.unwrap();
    let caller = issuer.verifier().verify(&token).await.unwrap();
    assert_eq!(caller.subject(), "user-7");
    assert_eq!(caller.scopes().to_string(), "read");
    assert_eq!(caller.claim::<u64>("auth_time").unwrap(), 1_700_000_000);
    assert_eq!(caller.claim::<String>("acr").unwrap(), "gold");
    assert_eq!(caller.claim::<Vec<String>>("amr").unwrap(), ["pwd", "otp"]);
}

/// The provider may have logged the user in long ago.
#[tokio::test]
async fn login_without_auth_time_is_not_recent() {
    let mut issuer = None;
    let app = App::build(|login, sessions| {
        let built = TokenIssuer::builder()
            .issuer("https://app.example")
            .audience("orders")
            .store(sessions.store().clone())
            .build()
            .unwrap();
        issuer = Some(built.clone());
        login.tokens(built)
    });
    let issuer = issuer.unwrap();
    let routes = TokenRoutes::without_passwords(issuer.clone()).cookie().build().unwrap();
    let mut browser = Browser::default();
    assert_eq!(app.log_in(&mut browser, "").await.status, 303);
    let token = access_token(&browser, &routes).await.unwrap();
    let caller = issuer.verifier().verify(&token).await.unwrap();
    assert_eq!(caller.claim::<u64>("auth_time").unwrap(), 0);
}

#[tokio::test]
async fn logout_ends_the_login_of_the_refresh_cookie() {
    let (app, issuer, routes) = app();
    let mut browser = Browser::default();
    app.provider.set("auth_time", 1_700_000_000);
    app.log_in(&mut browser, "").await;
    let (old, token) = (browser.clone(), access_token(&browser, &routes).await.unwrap());

    let mut cross_site = browser.request("POST", "/logout", Full::default());
    cross_site.headers_mut().insert("sec-fetch-site", "cross-site".parse().unwrap());
    assert_eq!(browser.send_request(app.login.logout(), cross_site).await.status, 403);
    assert!(issuer.verifier().verify(&token).await.is_ok());

    let reply = browser.send(app.login.logout(), "POST", "/logout").await;
    assert_eq!(reply.status, 303);
    assert!(reply.location().starts_with("https://provider.example/logout?"));
    assert!(!browser.cookies.contains_key("__Host-refresh"));
    assert!(access_token(&old, &routes).await.is_none());
    assert!(issuer.verifier().verify(&token).await.is_err());
    let reply = browser.send(app.login.logout(), "POST", "/logout").await;
    assert_eq!((reply.status, reply.location()), (303, "/"));
}

#[tokio::test]
async fn outage_during_a_logout_keeps_the_refresh_cookie() {
    let (app, _, routes) = app();
    let mut browser = Browser::default();
    app.provider.set("auth_time", 1_700_000_000);
    app.log_in(&mut browser, "").await;
    app.store.fail_after(0);
    let reply = browser.send(app.login.logout(), "POST", "/logout").await;
    assert_eq!(reply.status, 503);
    app.store.repair();
    assert!(access_token(&browser, &routes).await.is_some());
}

#[tokio::test]
async fn outage_while_tokens_are_issued_sets_no_cookie() {
    let (app, ..) = app();
    let mut browser = Browser::default();
    app.provider.set("auth_time", 1_700_000_000);
    let begun = app.begin(&mut browser, "").await;
    app.store.fail_after(1);
    let callback = format!("/callback?code=c&state={}", begun["state"]);
    let reply = browser.send(app.login.callback(), "GET", &callback).await;
    assert_eq!(reply.status, 503);
    assert!(browser.cookies.is_empty());
}

#[tokio::test]
async fn login_with_tokens_has_no_back_channel_logout() {
    let (app, ..) = app();
    assert!(app.login.backchannel_logout().is_err());
}

#[tokio::test]
async fn logout_with_two_refresh_cookies_removes_them() {
    let (app, ..) = app();
    let mut browser = Browser::default();
    let mut request = browser.request("POST", "/logout", Full::default());
    let twice = "__Host-refresh=a; __Host-refresh=b".parse().unwrap();
    request.headers_mut().insert("cookie", twice);
    let reply = browser.send_request(app.login.logout(), request).await;
    assert_eq!(reply.status, 303);
    let line = reply.headers["set-cookie"].to_str().unwrap();
    assert!(line.starts_with("__Host-refresh=;") && line.ends_with("Max-Age=0"), "{line}");
}
