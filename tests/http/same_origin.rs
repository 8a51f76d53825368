//! `SameOriginLayer`: the cross-site check for routes without credentials.

use std::{convert::Infallible, future::ready};

use axum::{Router, body::Body, http::request::Parts, routing::get};
use futures_util::FutureExt as _;
use http::{Method, Request, Response};
use tower::{Layer as _, Service as _, ServiceExt as _, limit::ConcurrencyLimit, service_fn};
use tower_auth::{
    Rejection,
    credentials::TokenLocation,
    respond::ProblemJson,
    transport::{Forwarded, HttpsLayer, SameOriginLayer},
};
use tower_auth_test_support::{
    api::{Api, Reply},
    raw::{self, RawResponse},
};

async fn serve(layer: SameOriginLayer) -> Api {
    let login = get(async || "a form").post(async || "logged in").put(async || "logged in");
    Api::serve_with_addresses(Router::new().route("/login", login).layer(layer)).await
}

fn post(api: &Api, headers: &[(&str, &str)]) -> RawResponse {
    raw::send(&api.address, "POST", "/login", headers, "user=alice")
}

#[tokio::test(flavor = "multi_thread")]
async fn login_from_another_site_returns_403() {
    let api = serve(SameOriginLayer::new()).await;
    let own = format!("http://{}", api.address);
    for (headers, status) in [
        // A page of this service, in browsers with and without Sec-Fetch-Site.
        (&[("Origin", own.as_str()), ("Sec-Fetch-Site", "same-origin")][..], 200),
        (&[("Origin", &own)], 200),
        // A client that is not a browser.
        (&[], 200),
        (&[("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")], 403),
        (&[("Origin", &own), ("Sec-Fetch-Site", "same-site")], 403),
        (&[("Origin", "https://evil.example")], 403),
        (&[("Origin", "null")], 403),
        (&[("Sec-Fetch-Site", "cross-site")], 403),
    ] {
        let response = post(&api, headers);
        assert_eq!(response.status, status, "{headers:?}");
        let is_served = response.body == "logged in";
        assert_eq!(is_served, status == 200);
    }
    // Another site may link to the form.
    let link = [("Sec-Fetch-Site", "cross-site")];
    assert_eq!(raw::get(&api.address, "/login", &link).body, "a form");
    let overridden = [("Sec-Fetch-Site", "cross-site"), ("X-HTTP-Method-Override", "POST")];
    assert_eq!(raw::get(&api.address, "/login", &overridden).status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn trusted_origin_and_origin_behind_a_proxy_pass() {
    let layer = SameOriginLayer::new()
        .forwarded(Forwarded::from_proxies("127.0.0.1").unwrap())
        .trusted_origin("https://admin.example")
        .unwrap();
    let api = serve(layer).await;
    let proxied = async |origin, scheme| {
        let request = api.request(Method::POST, "/login").header("host", "app.example");
        let request = request.header("origin", origin).header("x-forwarded-proto", scheme);
        Reply::to(request.header("x-forwarded-for", "192.0.2.1")).await.status
    };
    assert_eq!(proxied("https://app.example", "https").await, 200);
    assert_eq!(proxied("https://admin.example", "https").await, 200);
    assert_eq!(proxied("http://app.example", "https").await, 403);
    assert_eq!(proxied("https://other.example", "https").await, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn responder_renders_the_rejection() {
    let layer = SameOriginLayer::new().responder(ProblemJson::default());
    let app = Router::new().route("/login", get(async || "").post(async || "")).layer(layer);
    let api = Api::serve(app).await;
    let response = post(&api, &[("Origin", "https://evil.example")]);
    assert_eq!(response.status, 403);
    assert_eq!(response.header("content-type"), "application/problem+json");
    assert!(response.body.contains("cross-site requests are not allowed"), "{}", response.body);
}

/// Shows whether a responder can log the credentials of a request.
fn show_headers(_: &Rejection, head: &Parts) -> Response<Body> {
    Response::new(Body::from(format!("{:?}", head.headers)))
}

#[tokio::test(flavor = "multi_thread")]
async fn responder_gets_the_credentials_as_sensitive_headers() {
    let login = || Router::new().route("/login", get(async || "").post(async || ""));
    let https = HttpsLayer::new(Forwarded::direct().tls()).responder(show_headers);
    for app in [
        login().layer(SameOriginLayer::new().responder(show_headers)),
        // An outer layer renders the rejection again.
        login().layer(SameOriginLayer::new()).layer(https),
        login().layer(HttpsLayer::new(Forwarded::direct()).responder(show_headers)),
    ] {
        let api = Api::serve(app).await;
        let credentials = [
            ("Origin", "https://evil.example"),
            ("Authorization", "Bearer secret"),
            ("Proxy-Authorization", "Basic secret"),
            ("Cookie", "a=secret"),
            ("Cookie", "b=secret"),
        ];
        let response = post(&api, &credentials);
        assert!(response.body.contains("evil.example"), "{}", response.body);
        assert!(!response.body.contains("secret"), "{}", response.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn responder_gets_tokens_of_named_locations_as_sensitive_headers() {
    let https = HttpsLayer::new(Forwarded::direct()).token_from(TokenLocation::header("x-token"));
    let app = Router::new().route("/login", get(async || "")).layer(https.responder(show_headers));
    let response = post(&Api::serve(app).await, &[("X-Token", "secret")]);
    assert!(response.body.contains("x-token") && !response.body.contains("secret"));
}

#[tokio::test]
async fn rejection_releases_the_permit() {
    let inner =
        service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(Response::new("served".to_owned()))));
    let mut service = SameOriginLayer::new().layer(ConcurrencyLimit::new(inner, 1));
    let request = Request::builder().method("POST").header("origin", "null").body(()).unwrap();
    let response = service.ready().await.unwrap().call(request).await.unwrap();
    assert_eq!(response.status(), 403);
    assert!(service.clone().ready().now_or_never().is_some());
}
