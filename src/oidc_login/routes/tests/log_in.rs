use http::Request;
use http_body_util::Full;

use super::fixture::{App, Browser};

/// Logs `alice` in with this `return_to`, and returns where she continues.
async fn destination(return_to: &str) -> String {
    let (app, mut browser) = (App::new(), Browser::default());
    let query: String = form_urlencoded::Serializer::new(String::new())
        .append_pair("return_to", return_to)
        .finish();
    let reply = app.log_in(&mut browser, &query).await;
    assert_eq!((reply.status, app.user(&browser).await.as_deref()), (303, Some("alice")));
    reply.location().to_owned()
}

#[tokio::test]
async fn login_redirects_to_the_provider_with_a_cookie() {
    let (app, mut browser) = (App::new(), Browser::default());
    let reply = browser.send(app.login.login(), "GET", "/login").await;
    assert_eq!((reply.status, &*reply.body), (303, ""));
    assert!(reply.location().starts_with("https://provider.example/authorize?"));
    assert_eq!((browser.login_cookies(), browser.session()), (1, None));
    assert!(app.take_events().is_empty());
}

#[tokio::test]
async fn user_continues_at_the_requested_page() {
    assert_eq!(destination("/orders/7?tab=a%26b").await, "/orders/7?tab=a%26b");
}

#[tokio::test]
async fn page_of_another_site_or_of_the_login_is_replaced() {
    for return_to in [
        "//evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "/login",
        "/login?return_to=/login",
        "/callback?code=a&state=b",
        "/logout",
        "",
    ] {
        assert_eq!(destination(return_to).await, "/", "{return_to}");
    }
    // These only look like the routes.
    assert_eq!(destination("/login/help").await, "/login/help");
    let app = App::with(|login| login.after_login("/start"));
    let mut browser = Browser::default();
    assert_eq!(app.log_in(&mut browser, "return_to=//evil.example").await.location(), "/start");
    let twice = app.log_in(&mut browser, "return_to=/a&return_to=/b").await;
    assert_eq!(twice.location(), "/start");
}

#[tokio::test]
async fn parameters_of_a_step_up_reach_the_provider() {
    let (app, mut browser) = (App::new(), Browser::default());
    let query = "acr_values=gold+silver&max_age=60&login_hint=alice%40example.com&scope=admin\
                 &redirect_uri=https://evil.example&prompt=none&client_id=x";
    let sent = app.begin(&mut browser, query).await;
    assert_eq!(sent["acr_values"], "gold silver");
    assert_eq!(sent["max_age"], "60");
    assert_eq!(sent["login_hint"], "alice@example.com");
    // Nothing else is read from the query.
    assert_eq!(sent["scope"], "openid");
    assert_eq!(sent["redirect_uri"], "https://app.example/callback");
    assert_eq!(sent["client_id"], "app");
    assert!(!sent.contains_key("prompt"));
}

#[tokio::test]
async fn invalid_parameter_is_ignored() {
    let app = App::new();
    let long = "a".repeat(2_000);
    for query in [
        "acr_values=a%22b".to_owned(),
        "acr_values=a&acr_values=b".to_owned(),
        "acr_values=".to_owned(),
        format!("acr_values={long}"),
        "max_age=-1".to_owned(),
        "max_age=%2B1".to_owned(),
        "max_age=1.5".to_owned(),
        "max_age=4294967296".to_owned(),
        "max_age=1&max_age=2".to_owned(),
        "login_hint=a%0Ab".to_owned(),
        format!("login_hint={long}"),
    ] {
        let sent = app.begin(&mut Browser::default(), &query).await;
        for name in ["acr_values", "max_age", "login_hint"] {
            assert!(!sent.contains_key(name), "{query}");
        }
    }
}

#[tokio::test]
async fn script_and_frame_get_403_without_a_cookie() {
    let (app, mut browser) = (App::new(), Browser::default());
    for (mode, destination) in
        [("cors", "empty"), ("no-cors", "image"), ("navigate", "iframe"), ("same-origin", "empty")]
    {
        let request = Request::builder()
            .uri("/login")
            .header("sec-fetch-mode", mode)
            .header("sec-fetch-dest", destination);
        let request = request.body(Full::default()).unwrap();
        let reply = browser.send_request(app.login.login(), request).await;
        assert_eq!(reply.status, 403, "{mode} {destination}");
        assert!(!reply.headers.contains_key("location"));
        assert_eq!(browser.login_cookies(), 0);
    }
    // An old browser or another client does not send these headers.
    let request = Request::builder().uri("/login").body(Full::default()).unwrap();
    assert_eq!(browser.send_request(app.login.login(), request).await.status, 303);
}

#[tokio::test]
async fn other_methods_return_405_with_allow() {
    let (app, mut browser) = (App::new(), Browser::default());
    let form_post = App::with(|login| login.form_post());
    for (route, allowed) in [
        (app.login.login(), "GET"),
        (app.login.callback(), "GET"),
        (app.login.logout(), "POST"),
        (form_post.login.callback(), "POST"),
    ] {
        for method in ["GET", "POST", "HEAD", "PUT", "OPTIONS", "DELETE", "get"] {
            let reply = browser.send(route.clone(), method, "/").await;
            assert_eq!(reply.status == 405, method != allowed, "{method} {route:?}");
            if method != allowed {
                assert_eq!(reply.headers["allow"], allowed);
            }
        }
    }
}

#[tokio::test]
async fn store_outage_returns_503_only_if_there_is_a_session() {
    let (app, mut browser) = (App::new(), Browser::default());
    app.log_in(&mut browser, "").await;
    app.store.fail_after(0);
    let reply = browser.send(app.login.login(), "GET", "/login").await;
    assert_eq!(reply.status, 503);
    assert!(reply.headers.contains_key("retry-after"));
    assert_eq!(app.take_events(), ["Unavailable"]);
    // The login of a browser without a session needs no store.
    let reply = Browser::default().send(app.login.login(), "GET", "/login").await;
    assert_eq!(reply.status, 303);
}
