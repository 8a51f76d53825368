//! Which plain-HTTP requests are redirected, and where to.

use futures_util::FutureExt as _;
use http::{Method, Request, StatusCode, Version};
use proptest::prelude::*;
use tower::{Layer as _, ServiceExt as _};
use tower_auth::{
    credentials::TokenLocation,
    transport::{Forwarded, HttpsLayer},
};
use tower_auth_test_support::api::Reply;

use super::{HOUR, HSTS, behind_proxy, inner, over_plain_http, raw_response, raw_status, serve};

#[tokio::test(flavor = "multi_thread")]
async fn get_without_credentials_is_redirected() {
    let layer = HttpsLayer::new(behind_proxy())
        .redirect()
        .token_from(TokenLocation::header("X-Access-Token"))
        .token_from(TokenLocation::from_fn(|head| {
            head.headers.get("x-other").map(|_| "token".to_owned())
        }));
    let api = serve(layer).await;
    let request = |method: Method, path: &str| {
        over_plain_http(api.request(method, path)).header("host", "app.example")
    };

    for method in [Method::GET, Method::HEAD] {
        let reply = Reply::to(request(method, "/a/b%20c;d")).await;
        assert_eq!(reply.status, StatusCode::PERMANENT_REDIRECT);
        assert_eq!(reply.headers["location"], "https://app.example/a/b%20c;d");
        assert_eq!(reply.headers["cache-control"], "no-store");
        assert_eq!(reply.body, "");
    }
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH] {
        assert_eq!(Reply::to(request(method, "/")).await.status, 403);
    }
    for path in ["/?", "/?token=a", "/a?b"] {
        assert_eq!(raw_status(&api, "GET", path, "app.example"), 403, "{path}");
    }
    for (name, value) in [
        ("cookie", "theme=dark"),
        ("cookie", ""),
        ("authorization", "Bearer a"),
        ("authorization", ""),
        ("proxy-authorization", "Basic YTpi"),
        ("sec-websocket-protocol", "chat.v1"),
        ("upgrade", "websocket"),
        ("x-access-token", "a"),
        ("x-access-token", ""),
        ("x-other", "a"),
    ] {
        let reply = Reply::to(request(Method::GET, "/").header(name, value)).await;
        assert_eq!(reply.status, 403, "{name}: {value}");
        assert!(!reply.headers.contains_key("location"));
    }
    // Off by default.
    let api = serve(HttpsLayer::new(behind_proxy())).await;
    assert_eq!(raw_status(&api, "GET", "/", "app.example"), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn host_that_is_unknown_or_ambiguous_is_not_redirected() {
    let api = serve(HttpsLayer::new(Forwarded::direct()).redirect()).await;
    for (host, location) in [
        ("app.example", "https://app.example/a"),
        ("app.example:80", "https://app.example/a"),
        ("APP.example", "https://APP.example/a"),
        ("192.0.2.1", "https://192.0.2.1/a"),
        ("[2001:db8::80]:80", "https://[2001:db8::80]/a"),
        ("[2001:db8::80]", "https://[2001:db8::80]/a"),
    ] {
        assert_eq!(raw_response(&api, "GET", "/a", host).header("location"), location);
    }
    for host in [
        "",
        "app.example:8080",
        "app.example:443",
        "app.example:",
        "app.example:080",
        "app.example:80:80",
        "user@app.example",
        "app.example@evil.example",
        "app.example/evil",
        "app.example\\evil",
        "app.example?",
        "app.example#",
        "app .example",
        "app.example, evil.example",
        "app..example",
        "%61pp.example",
        "ä.example",
        "999.1.1.1",
        "[::1",
        "2001:db8::80",
        "[fe80::1%25eth0]",
    ] {
        let status = raw_status(&api, "GET", "/a", host);
        assert!([400, 403].contains(&status), "{host}: {status}");
    }
    // Two hosts, one of which a cache may use.
    for (target, host) in [
        ("/", "app.example\r\nHost: app.example"),
        ("/", "app.example\r\nHost: evil.example"),
        ("http://evil.example/", "app.example"),
    ] {
        assert!([400, 403].contains(&raw_status(&api, "GET", target, host)), "{target} {host}");
    }
    let absolute = raw_response(&api, "GET", "http://app.example/b", "app.example");
    assert_eq!(absolute.header("location"), "https://app.example/b");
    // The host is never that of the path.
    let path = raw_response(&api, "GET", "//evil.example/", "app.example");
    assert_eq!(path.header("location"), "https://app.example//evil.example/");
    assert_eq!(raw_status(&api, "GET", "/\u{c3}\u{a4}", "app.example"), 403);
    assert_eq!(raw_status(&api, "OPTIONS", "*", "app.example"), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_configured_hosts_are_redirected() {
    let layer = |forwarded| {
        let layer = HttpsLayer::new(forwarded).redirect();
        layer
            .redirect_hosts(["app.example", "api.example"])
            .unwrap()
            .redirect_hosts("[::1]")
            .unwrap()
    };
    let api = serve(layer(behind_proxy())).await;
    let proxied = serve(layer(behind_proxy().forwarded_host())).await;
    for host in ["app.example", "App.Example:80", "api.example", "[::1]"] {
        assert_eq!(raw_status(&api, "GET", "/", host), 308, "{host}");
    }
    for host in ["evil.example", "app.example.evil.example", "x.app.example", "app.example:81"] {
        assert_eq!(raw_status(&api, "GET", "/", host), 403, "{host}");
        let forwarded = over_plain_http(proxied.get("/")).header("x-forwarded-host", host);
        assert_eq!(Reply::to(forwarded).await.status, 403, "{host}");
    }
    let forwarded = over_plain_http(proxied.get("/")).header("x-forwarded-host", "app.example");
    let forwarded = Reply::to(forwarded.header("host", "backend")).await;
    assert_eq!(forwarded.headers["location"], "https://app.example/");
}

/// Headers, of which the first ones are credentials.
const HEADERS: [(&str, &str); 9] = [
    ("cookie", "a=b"),
    ("authorization", "Bearer a"),
    ("proxy-authorization", "Basic YTpi"),
    ("x-access-token", "a"),
    ("sec-websocket-protocol", "base64url.bearer.authorization.k8s.io.YQ"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "evil.example"),
    ("forwarded", "proto=https;host=evil.example"),
    ("accept", "*/*"),
];
const CREDENTIALS: usize = 5;

fn arbitrary_host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,8}\\.example(:[0-9]{1,5})?",
        "[ -~]{0,12}",
        Just("localhost".to_owned()),
        Just("[::1]:80".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    /// The connection is not from a proxy that is trusted, so no header makes the request secure.
    #[test]
    fn plain_http_with_credentials_is_rejected_on_every_path(
        method in prop_oneof!["GET", "HEAD", "POST", "[A-Z]{3,8}"],
        path in prop_oneof![Just("/healthz".to_owned()), "/[!-~]{0,12}", "/[a-z/]{0,8}(\\?[a-z]{0,3})?"],
        host in arbitrary_host(),
        present in prop::collection::vec(any::<bool>(), HEADERS.len()),
        http2 in any::<bool>(),
    ) {
        let layer = HttpsLayer::new(Forwarded::from_proxies("10.0.0.0/8").unwrap())
            .redirect()
            .except("/healthz")
            .unwrap()
            .token_from(TokenLocation::header("X-Access-Token"))
            .token_from(TokenLocation::websocket_protocol())
            .hsts(HOUR);
        let mut request = Request::builder().method(&*method).uri(&path);
        if http2 {
            request = request.version(Version::HTTP_2);
        }
        for ((name, value), _) in HEADERS.iter().zip(&present).filter(|(_, present)| **present) {
            request = request.header(*name, *value);
        }
        let Ok(request) = request.header("host", &host).body(()) else { return Ok(()) };
        let (path, query) = (request.uri().path().to_owned(), request.uri().query().is_some());
        let response = layer.layer(inner()).oneshot(request).now_or_never().unwrap().unwrap();

        let location = response.headers().get("location").map(|it| it.to_str().unwrap());
        prop_assert!(!response.headers().contains_key(HSTS));
        let has_credentials = present[..CREDENTIALS].contains(&true);
        let is_served = path == "/healthz" && !has_credentials;
        prop_assert_eq!(response.body() == "served", is_served);
        prop_assert_eq!(response.status() == 308, location.is_some());
        if let Some(location) = location {
            prop_assert!(!has_credentials && !query);
            prop_assert!(method == "GET" || method == "HEAD");
            let host = host.strip_suffix(":80").unwrap_or(&host);
            prop_assert_eq!(location, format!("https://{host}{path}"));
            let url: http::Uri = location.parse().unwrap();
            prop_assert_eq!((url.scheme_str(), url.host()), (Some("https"), Some(host)));
        } else if !is_served {
            prop_assert_eq!(response.status(), 403);
        }
    }
}
