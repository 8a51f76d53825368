//! The cross-site rule, which is on in cookie mode.

use http::header::{COOKIE, ORIGIN, SET_COOKIE};
use reqwest::RequestBuilder;
use serde_json::json;
use tower_auth::ConfigErrorKind;

use super::{Client, Jar, PASSWORD, PATHS, Setup, assert_error, checked, send_json};

/// Adds what a browser sends for a request of another site.
fn from_other_site(request: RequestBuilder) -> RequestBuilder {
    request.header("sec-fetch-site", "cross-site").header(ORIGIN, "https://evil.example")
}

async fn log_in(client: &Client, headers: &[(&str, &str)]) -> u16 {
    let mut request = client.post("/login");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let parameters = json!({ "username": "alice", "password": PASSWORD });
    let reply = checked(send_json(request, &parameters).await);
    if reply.status == 403 {
        assert_error(&reply, 403, "access_denied");
        assert!(!reply.headers.contains_key(SET_COOKIE));
    }
    reply.status.as_u16()
}

#[tokio::test]
async fn requests_of_another_site_return_403_and_change_nothing() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder().cookie()).await;
    let jar = Jar::default();
    jar.log_in(&client).await;
    setup.events.take();
    for path in PATHS {
        let cookie = format!("__Host-refresh={}", jar.value().unwrap());
        let request = from_other_site(client.post(path)).header(COOKIE, cookie);
        let parameters = json!({ "username": "alice", "password": PASSWORD });
        let reply = checked(send_json(request, &parameters).await);
        assert_error(&reply, 403, "access_denied");
        assert!(!reply.headers.contains_key(SET_COOKIE));
        let events = setup.events.take();
        assert!(events.len() == 1 && events[0].contains("CrossSite"), "{events:?}");
    }
    assert_eq!(jar.refresh(&client).await.status, 200);
}

#[tokio::test]
async fn only_pages_of_the_service_and_other_clients_can_log_in() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder().cookie()).await;
    let own = format!("http://{}", client.api.address);
    assert_eq!(log_in(&client, &[]).await, 200);
    assert_eq!(log_in(&client, &[("sec-fetch-site", "same-origin")]).await, 200);
    assert_eq!(log_in(&client, &[("origin", &own)]).await, 200);
    for headers in [
        &[("sec-fetch-site", "same-site")][..],
        &[("sec-fetch-site", "cross-site")],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site"), ("origin", &own)],
    ] {
        assert_eq!(log_in(&client, headers).await, 403, "{headers:?}");
    }
}

#[tokio::test]
async fn trusted_origin_and_hosts_are_accepted() {
    let setup = Setup::new();
    let routes = setup.builder().cookie().trusted_origin("https://console.example");
    let client = setup.serve(routes).await;
    let trusted = [("sec-fetch-site", "same-site"), ("origin", "https://console.example")];
    assert_eq!(log_in(&client, &trusted).await, 200);
    let client = setup.serve(setup.builder().cookie().hosts("app.example")).await;
    assert_eq!(log_in(&client, &[]).await, 403);
    assert_eq!(log_in(&client, &[("host", "app.example")]).await, 200);
}

#[tokio::test]
async fn host_that_differs_from_the_authority_returns_400() {
    let setup = Setup::new();
    let routes = setup.builder().cookie().build().unwrap();
    let request = http::Request::post("http://app.example/login")
        .header("host", "evil.example")
        .body(String::new())
        .unwrap();
    let response = tower::ServiceExt::oneshot(routes.login(), request).await.unwrap();
    assert_eq!(response.status(), 400);
}

/// Without a cookie, there is nothing that a browser adds on its own.
#[tokio::test]
async fn requests_of_another_site_are_accepted_without_cookie_mode() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    let parameters = json!({ "username": "alice", "password": PASSWORD });
    let reply = checked(send_json(from_other_site(client.post("/login")), &parameters).await);
    assert_eq!(reply.status, 200);
}

#[test]
fn settings_of_the_cross_site_rule_need_cookie_mode() {
    let setup = Setup::new();
    let kind = |routes: tower_auth::issue::TokenRoutesBuilder| routes.build().unwrap_err().kind();
    let routes = || setup.builder();
    let conflict = ConfigErrorKind::Conflict;
    assert_eq!(kind(routes().trusted_origin("https://console.example")), conflict);
    assert_eq!(kind(routes().hosts("app.example")), conflict);
    let invalid = ConfigErrorKind::Invalid;
    assert_eq!(kind(routes().cookie().trusted_origin("console.example")), invalid);
    assert_eq!(kind(routes().cookie().hosts("https://app.example")), invalid);
    let forwarded = tower_auth::transport::Forwarded::direct();
    assert!(routes().forwarded(forwarded).build().is_ok());
}
