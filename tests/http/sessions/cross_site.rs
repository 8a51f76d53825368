//! Requests that another site causes. The cookie is ambient.

use axum::http::{
    Method,
    header::{HOST, ORIGIN, SET_COOKIE},
};
use tower_auth::transport::Forwarded;
use tower_auth_test_support::{api::Reply, user_agent::UserAgent};

use super::{COOKIE_NAME, Service, Setup};

const UNSAFE: [Method; 2] = [Method::POST, Method::PUT];

/// Sends a request with the cookie and these headers.
async fn status(
    service: &Service,
    browser: &UserAgent,
    method: Method,
    headers: &[(&str, &str)],
) -> u16 {
    let cookie = service.cookie(browser).unwrap();
    let mut request = service.api.request(method, "/me");
    request = request.header("cookie", format!("{COOKIE_NAME}={cookie}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let reply = Reply::to(request).await;
    assert!(!reply.headers.contains_key(SET_COOKIE), "{reply:?}");
    reply.status.as_u16()
}

#[tokio::test]
async fn unsafe_requests_of_other_sites_are_rejected_and_keep_the_cookie() {
    let setup = Setup::new();
    let service = setup.serve().await;
    let browser = service.browser_of("alice").await;
    let own = format!("http://{}", service.api.address);
    for method in UNSAFE {
        for headers in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "cross-site"), (ORIGIN.as_str(), &*own)],
            &[(ORIGIN.as_str(), "https://evil.example")],
            &[(ORIGIN.as_str(), "null")],
        ] {
            assert_eq!(status(&service, &browser, method.clone(), headers).await, 403);
        }
        for headers in [
            &[("sec-fetch-site", "same-origin")][..],
            &[("sec-fetch-site", "none")],
            &[(ORIGIN.as_str(), &*own)],
            &[],
        ] {
            assert_eq!(status(&service, &browser, method.clone(), headers).await, 200);
        }
    }
    // A link of another site is not a danger.
    let headers = [("sec-fetch-site", "cross-site")];
    assert_eq!(status(&service, &browser, Method::GET, &headers).await, 200);
    let headers = [("sec-fetch-site", "cross-site"), ("x-http-method-override", "POST")];
    assert_eq!(status(&service, &browser, Method::GET, &headers).await, 403);
}

#[tokio::test]
async fn other_site_cannot_log_the_user_out() {
    let setup = Setup::new();
    let service = setup.serve().await;
    let browser = service.browser_of("alice").await;
    for path in ["/logout", "/logout/all"] {
        let evil = "https://evil.example/";
        let reply = browser.submit(evil, &service.url(path), "").await;
        // The browser does not send a `Lax` cookie with this request.
        assert_eq!(reply.status, 401);
        let cookie = service.cookie(&browser).unwrap();
        let request = service.api.request(Method::POST, path);
        let request = request.header("cookie", format!("{COOKIE_NAME}={cookie}"));
        let reply = Reply::to(request.header(ORIGIN, "https://evil.example")).await;
        assert_eq!(reply.status, 403);
    }
    assert_eq!(service.status(&browser, "/me").await, 200);
}

/// The check does not read the store: another site must not cause work.
#[tokio::test]
async fn cross_site_request_is_rejected_during_an_outage() {
    let setup = Setup::new();
    let service = setup.serve().await;
    let browser = service.browser_of("alice").await;
    setup.store.set_fault(tower_auth::store::StoreErrorKind::Unavailable);
    let headers = [("sec-fetch-site", "cross-site")];
    assert_eq!(status(&service, &browser, Method::POST, &headers).await, 403);
}

#[tokio::test]
async fn trusted_origin_and_hosts_apply() {
    let setup =
        Setup::with(|sessions| sessions.trusted_origin("https://admin.example").hosts("127.0.0.1"));
    let service = setup.serve().await;
    let browser = service.browser_of("alice").await;
    let trusted = [("sec-fetch-site", "cross-site"), (ORIGIN.as_str(), "https://admin.example")];
    assert_eq!(status(&service, &browser, Method::POST, &trusted).await, 200);
    let other = [("sec-fetch-site", "cross-site"), (ORIGIN.as_str(), "https://admin.example.evil")];
    assert_eq!(status(&service, &browser, Method::POST, &other).await, 403);
    let rebound = [(HOST.as_str(), "evil.example")];
    assert_eq!(status(&service, &browser, Method::GET, &rebound).await, 403);
}

#[tokio::test]
async fn origin_is_compared_with_the_scheme_of_a_trusted_proxy() {
    let forwarded = Forwarded::from_proxies("127.0.0.0/8").unwrap();
    let setup = Setup::with(|sessions| sessions.forwarded(forwarded));
    let service = setup.serve().await;
    let browser = service.browser_of("alice").await;
    let at = |origin: &'static str| {
        [("x-forwarded-proto", "https"), (HOST.as_str(), "app.example"), (ORIGIN.as_str(), origin)]
    };
    for (origin, expected) in [("https://app.example", 200), ("http://app.example", 403)] {
        assert_eq!(status(&service, &browser, Method::POST, &at(origin)).await, expected);
    }
}

#[tokio::test]
async fn dangerous_setting_admits_other_sites() {
    let setup = Setup::with(|sessions| sessions.dangerous_allow_cross_site());
    let service = setup.serve().await;
    let browser = service.browser_of("alice").await;
    let headers = [("sec-fetch-site", "cross-site")];
    assert_eq!(status(&service, &browser, Method::POST, &headers).await, 200);
}
