//! The check over loopback connections: curl, HTTP/2 and CORS.

use std::process::Command;

use axum::{Router, routing::any};
use bytes::Bytes;
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tower_auth::{
    AuthenticateLayer, BasicAuth, Principal, any_of, basic::PasswordVerifier,
    credentials::TokenLocation,
};
use tower_auth_test_support::{
    api::{Api, Issuer, Reply, greet},
    raw, skip,
};
use tower_http::cors::CorsLayer;

use super::basic_header;

/// Returns Basic authentication without further settings.
fn staff() -> BasicAuth<impl PasswordVerifier> {
    BasicAuth::new("staff", tower_auth::basic::Users::new([("alice", "secret")]).unwrap()).unwrap()
}

/// Reads the body: curl reports an error if a response over HTTP/2 ends before the request.
async fn greet_after_body(caller: Principal, _: Bytes) -> String {
    greet(caller).await
}

/// Serves a route for staff and for tokens, which may be in a cookie or in `X-Token`.
async fn serve() -> (Api, String) {
    let issuer = Issuer::new();
    let tokens = issuer
        .builder()
        .token_from(TokenLocation::authorization())
        .token_from(TokenLocation::header("x-token"))
        .token_from(TokenLocation::cookie("__Host-token"));
    let layer = AuthenticateLayer::new(any_of((tokens.build().unwrap(), staff())));
    let api = Api::serve(Router::new().route("/", any(greet_after_body)).layer(layer)).await;
    (api, issuer.token())
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_with_basic_is_not_affected() {
    let (api, _) = serve().await;
    let url = format!("http://{}/", api.address);
    for arguments in [
        &["-X", "GET"][..],
        &["-d", "a=b"],
        &["-X", "PUT", "-d", "a=b"],
        &["-X", "DELETE"],
        &["-H", "X-HTTP-Method-Override: DELETE"],
        &["--http2"],
        // The HttpClient of Apache sends this with each request over plain HTTP.
        &["-H", "Connection: Upgrade", "-H", "Upgrade: TLS/1.2"],
        &["--http2", "-d", "a=b"],
        &["--http2-prior-knowledge"],
        &["--http2-prior-knowledge", "-X", "PUT", "-d", "a=b"],
        &["--http1.0", "-d", "a=b"],
        &["--anyauth", "-d", "a=b"],
    ] {
        let output = Command::new("curl")
            .args(["-sS", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}"])
            .args(["-u", "alice:secret"])
            .args(arguments)
            .arg(&url)
            .output();
        let Ok(output) = output else { return skip("curl is not installed") };
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.stdout, b"200", "{arguments:?} {errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn browser_requests_with_ambient_credentials_are_checked() {
    let (api, token) = serve().await;
    let own = format!("http://{}", api.address);
    let (password, bearer) = (basic_header("alice", "secret"), format!("Bearer {token}"));
    let cookie = format!("__Host-token={token}");
    let ambient = [("Authorization", password.as_str()), ("Cookie", &cookie)];
    let other = [("Authorization", bearer.as_str()), ("X-Token", &token)];

    let evil = ("Origin", "https://evil.test");
    let site = |site| ("Sec-Fetch-Site", site);
    let origin = ("Origin", own.as_str());
    let tls = format!("https://{}", api.address);
    for (headers, expected) in [
        (vec![evil, site("cross-site")], 403),
        (vec![evil], 403),
        (vec![("Origin", "null")], 403),
        (vec![("Origin", &tls)], 403),
        (vec![origin, origin], 403),
        (vec![site("same-site")], 403),
        (vec![site("same-origin"), site("same-origin")], 403),
        (vec![origin], 200),
        (vec![origin, site("same-origin")], 200),
        (vec![site("none")], 200),
        (vec![], 200),
    ] {
        for method in ["POST", "PUT"] {
            for credential in ambient {
                let lines = [headers.as_slice(), &[credential]].concat();
                let response = raw::send(&api.address, method, "/", &lines, "a=b");
                assert_eq!(response.status, expected, "{method} {headers:?}");
                if expected == 403 {
                    assert_eq!(response.header_values("www-authenticate"), [""; 0]);
                }
            }
            for credential in other {
                let lines = [headers.as_slice(), &[credential]].concat();
                let response = raw::send(&api.address, method, "/", &lines, "a=b");
                assert_eq!(response.status, 200, "{method} {headers:?}");
            }
        }
        for credential in ambient.into_iter().chain(other) {
            let lines = [headers.as_slice(), &[credential]].concat();
            assert_eq!(raw::get(&api.address, "/", &lines).status, 200, "{headers:?}");
        }
    }
    // A second Host, and a target with another authority.
    for (target, lines, expected) in [
        ("/", vec![("Host", api.address.as_str())], 400),
        ("http://evil.test/", vec![], 400),
        (&format!("{own}/"), vec![], 200),
    ] {
        for credential in ambient {
            let lines = [lines.as_slice(), &[credential]].concat();
            let response = raw::send(&api.address, "GET", target, &lines, "");
            assert_eq!(response.status, expected, "{target} {lines:?}");
        }
    }
}

/// Sends a `POST` with a password, this `Host` and these lines, as Latin-1.
fn post_status(api: &Api, host: &str, lines: &[(&str, &str)]) -> u16 {
    let password = basic_header("alice", "secret");
    let lines: String = lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("POST / HTTP/1.1\r\nHost: {host}\r\nAuthorization: {password}\r\n{lines}");
    raw::send_head(&api.address, &head).status
}

#[tokio::test(flavor = "multi_thread")]
async fn origin_is_compared_with_every_form_of_the_host() {
    let (api, _) = serve().await;
    for (host, origin, status) in [
        // Default ports.
        ("app.test", "http://app.test", 200),
        ("app.test:80", "http://app.test", 200),
        ("app.test", "http://app.test:80", 200),
        ("app.test:443", "http://app.test", 403),
        ("app.test", "https://app.test", 403),
        ("app.test:443", "https://app.test", 403),
        ("app.test:8080", "http://app.test:8080", 200),
        ("app.test:8080", "http://app.test", 403),
        // IPv6.
        ("[2001:DB8::1]", "http://[2001:db8::1]", 200),
        ("[::1]:8080", "http://[::1]:8080", 200),
        ("[::1]:8080", "http://[::1]", 403),
        ("[::1]", "http://[::2]", 403),
        ("[::1", "http://[::1", 403),
        // Punycode.
        ("xn--bcher-kva.test", "http://xn--bcher-kva.test", 200),
        ("xn--bcher-kva.test", "http://bcher-kva.test", 403),
        ("xn--bcher-kva.test", "http://b\u{fc}cher.test", 403),
        ("b\u{fc}cher.test", "http://b\u{fc}cher.test", 403),
        // Neither is the origin of a page of the service.
        ("app.test", "null", 403),
        ("null", "null", 403),
        ("app.test", "", 403),
        ("app.test", "http://", 403),
        ("app.test", "http://app.test, http://app.test", 403),
        ("app.test", "http://app.test\u{ff}", 403),
    ] {
        assert_eq!(post_status(&api, host, &[("Origin", origin)]), status, "{host} {origin}");
    }
    let lines = |origins: [&'static str; 2]| origins.map(|origin| ("Origin", origin));
    for origins in [["http://app.test"; 2], ["null"; 2], ["http://app.test", "http://evil.test"]] {
        assert_eq!(post_status(&api, "app.test", &lines(origins)), 403, "{origins:?}");
    }
}

#[tokio::test]
async fn host_that_differs_from_authority_over_http_2_returns_400() {
    let (api, token) = serve().await;
    let stream = TokioIo::new(TcpStream::connect(&api.address).await.unwrap());
    let (mut sender, connection) =
        http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    for (host, expected) in [
        (None, 200),
        (Some("app.test"), 200),
        (Some("APP.test:80"), 200),
        (Some("evil.test"), 400),
        (Some("app.test:443"), 400),
        (Some("app.test, evil.test"), 400),
    ] {
        for (name, value) in [
            ("authorization", basic_header("alice", "secret")),
            ("cookie", format!("__Host-token={token}")),
        ] {
            for method in ["GET", "POST"] {
                let mut request = Request::builder().method(method).uri("http://app.test/");
                request = request.header(name, &value).header("origin", "http://app.test");
                if let Some(host) = host {
                    request = request.header("host", host);
                }
                let response = sender.send_request(request.body(Full::default()).unwrap()).await;
                assert_eq!(response.unwrap().status(), expected, "{method} {name} {host:?}");
            }
        }
    }
}

#[tokio::test]
async fn cors_layer_around_answers_preflights_and_marks_rejections() {
    const PAGE: &str = "https://admin.test";
    let cors = CorsLayer::new()
        .allow_origin(HeaderValue::from_static(PAGE))
        .allow_credentials(true)
        .allow_methods([Method::PUT]);
    let serve = async |staff| {
        let layer = AuthenticateLayer::new(staff);
        Api::serve(Router::new().route("/", any(greet)).layer(layer).layer(cors.clone())).await
    };
    let put = async |api: &Api| {
        let request = api.request(Method::PUT, "/").basic_auth("alice", Some("secret"));
        let request = request.header("origin", PAGE).header("sec-fetch-site", "cross-site");
        Reply::to(request).await
    };
    let strict = serve(staff()).await;
    let preflight = strict.request(Method::OPTIONS, "/").header("origin", PAGE);
    let preflight = preflight.header("access-control-request-method", "PUT");
    let response = Reply::to(preflight).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.headers["access-control-allow-methods"], "PUT");

    let rejected = put(&strict).await;
    assert_eq!((rejected.status.as_u16(), rejected.challenges()), (403, vec![]));
    assert_eq!(rejected.headers["access-control-allow-origin"], PAGE);
    assert_eq!(rejected.headers["access-control-allow-credentials"], "true");

    let trusting = serve(staff().trusted_origin(PAGE).unwrap()).await;
    assert_eq!(put(&trusting).await.body, "hello alice");
}
