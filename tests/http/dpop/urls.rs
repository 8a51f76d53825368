//! The comparison of `htu` with the URL of the request (RFC 9449 §4.3, RFC 3986 §6.2).

use axum::{Router, routing::any};
use serde_json::json;
use tower_auth::{
    AuthenticateLayer,
    dpop::{DpopBinding, ProofError},
    store::{Memory, SealedStore},
    test_util::{TestClock, TokenMint},
    transport::Forwarded,
};
use tower_auth_test_support::{
    api::{Api, greet},
    dpop::DpopClient,
    raw::{self, RawResponse},
    token::now,
};

use super::{Fixture, Reasons, secret};

/// Sends a request line and lines for the head, with a proof for a URL.
fn send(fixture: &Fixture, target: &str, lines: &str, htu: &str) -> RawResponse {
    let token = fixture.token();
    let proof = fixture.client.proof("GET", htu, &token, fixture.now());
    let head =
        format!("GET {target} HTTP/1.1\r\n{lines}Authorization: DPoP {token}\r\nDPoP: {proof}\r\n");
    raw::send_head(&fixture.address, &head)
}

#[tokio::test(flavor = "multi_thread")]
async fn equivalent_urls_are_accepted() {
    let fixture = Fixture::with(|binding| binding.rate_limit(1_000, 1_000)).await;
    for (host, target, htu) in [
        ("a.example", "/b", "https://a.example/b"),
        ("a.example", "/b", "HTTPS://A.Example/b"),
        ("A.EXAMPLE", "/b", "https://a.example/b"),
        ("a.example:443", "/b", "https://a.example/b"),
        ("a.example", "/b", "https://a.example:443/b"),
        ("a.example", "/b", "https://a.example:0443/b"),
        ("a.example", "/b", "https://a.example:/b"),
        ("a.example:", "/b", "https://a.example/b"),
        ("a.example:8443", "/b", "https://a.example:8443/b"),
        ("a.example", "/", "https://a.example"),
        ("a.example", "/", "https://a.example?x"),
        ("a.example", "/", "https://a.example#x"),
        ("a.example", "/b?x=/c", "https://a.example/b"),
        ("a.example", "/b", "https://a.example/b?x=1"),
        ("a.example", "/b?x", "https://a.example/b?y#z"),
        ("a.example", "/b", "https://a.example/b#https://c.example/d"),
        ("a.example", "/?x", "https://a.example"),
        ("a.example", "/b", "https://a.example/./b"),
        ("a.example", "/b", "https://a.example/c/../b"),
        ("a.example", "/b", "https://a.example/../../b"),
        ("a.example", "/b/", "https://a.example/b/."),
        ("a.example", "/b/", "https://a.example/b/c/.."),
        ("a.example", "/c/../b", "https://a.example/b"),
        ("a.example", "/b", "https://a.example/%2E%2e/b"),
        ("a.example", "/b-._~9", "https://a.example/%62%2d%2E%5f%7E%39"),
        ("a.example", "/%62", "https://a.example/b"),
        ("a.example", "/%c3%a4", "https://a.example/%C3%A4"),
        ("a.example", "/a%2fb", "https://a.example/a%2Fb"),
        ("a.example", "/%zz%", "https://a.example/%zz%"),
        ("a.example", "//b", "https://a.example//b"),
        ("a.example", "/b/.../.c", "https://a.example/b/.../.c"),
        ("[2001:DB8::1]", "/b", "https://[2001:db8:0:0::1]/b"),
        ("[2001:db8::1]:443", "/b", "https://[2001:db8::1]/b"),
        ("[::1]:8443", "/b", "https://[::1]:8443/b"),
        ("127.0.0.1:80", "/b", "https://127.0.0.1:80/b"),
        ("my_host", "/b", "https://my_host/b"),
    ] {
        let response = send(&fixture, target, &format!("Host: {host}\r\n"), htu);
        assert_eq!(response.status, 200, "{host}{target} {htu} {}", fixture.reasons.take_last());
    }
    // In absolute form.
    let target = "http://a.example/b";
    let response = send(&fixture, target, "Host: a.example\r\n", "https://a.example/b");
    assert_eq!(response.status, 200, "{}", fixture.reasons.take_last());
}

#[tokio::test(flavor = "multi_thread")]
async fn other_urls_are_rejected() {
    let fixture = Fixture::new().await;
    let malformed = ProofError::MalformedUrl;
    for (host, target, htu, reason) in [
        ("a.example", "/b", "http://a.example/b", ProofError::UrlScheme),
        ("a.example", "/b", "http://a.example:443/b", ProofError::UrlScheme),
        ("a.example", "/b", "https://b.example/b", ProofError::UrlHost),
        ("a.example", "/b", "https://a.example./b", ProofError::UrlHost),
        ("a.example", "/b", "https://a.example.b.example/b", ProofError::UrlHost),
        ("a.example", "/b", "https://a.example:8443/b", ProofError::UrlHost),
        ("a.example", "/b", "https://a.example:80/b", ProofError::UrlHost),
        ("a.example:8443", "/b", "https://a.example/b", ProofError::UrlHost),
        ("[::1]", "/b", "https://[::2]/b", ProofError::UrlHost),
        ("a.example", "/b", "https://a.example/", ProofError::UrlPath),
        ("a.example", "/b", "https://a.example", ProofError::UrlPath),
        ("a.example", "/b", "https://a.example/b/", ProofError::UrlPath),
        ("a.example", "/b", "https://a.example/B", ProofError::UrlPath),
        ("a.example", "/b", "https://a.example/b/c/../..", ProofError::UrlPath),
        ("a.example", "/b", "https://a.example//b", ProofError::UrlPath),
        ("a.example", "/b/c", "https://a.example/b%2Fc", ProofError::UrlPath),
        ("a.example", "/b!", "https://a.example/b%21", ProofError::UrlPath),
        ("a.example", "/b%2561", "https://a.example/b%61", ProofError::UrlPath),
        ("a.example", "/b", "https://a.example/b%3F", ProofError::UrlPath),
        ("a.example", "/b?x", "https://a.example/b%3Fx", ProofError::UrlPath),
        ("a.example", "/b", "https://me@a.example/b", malformed),
        ("a.example", "/b", "https://me:x@a.example/b", malformed),
        ("a.example", "/b", "https://@a.example/b", malformed),
        ("a.example", "/b", "https://a.example:x/b", malformed),
        ("a.example", "/b", "https://a.example:0/b", malformed),
        ("a.example", "/b", "https://a.example:65979/b", malformed),
        ("a.example", "/b", "https://a.example:+443/b", malformed),
        ("a.example", "/b", "https://a..example/b", malformed),
        ("a.example", "/b", "https://a%2eexample/b", malformed),
        ("a.example", "/b", "https://*/b", malformed),
        ("a.example", "/b", "https:///b", malformed),
        ("a.example", "/b", "https:a.example/b", malformed),
        ("a.example", "/b", "//a.example/b", malformed),
        ("a.example", "/b", "a.example/b", malformed),
        ("a.example", "/b", "/b", malformed),
        ("a.example", "/b", "wss://a.example/b", malformed),
        ("a.example", "/b", " https://a.example/b", malformed),
        ("a.example", "/b", "https://a.example/b ", malformed),
        ("a.example", "/b", "https://a.example\\b", malformed),
        ("a.example", "/b", "https://a.example/\\b", malformed),
        ("a.example", "/b", "https://a.example/b\n", malformed),
        ("a.example", "/b", "https://\u{e4}.example/b", malformed),
        ("a.example", "/b", "https://a.example/\u{e4}", malformed),
        ("a.example", "/b", "https://::1/b", malformed),
        ("a.example", "/b", "https://[::1/b", malformed),
        ("me@a.example", "/b", "https://a.example/b", ProofError::UnknownHost),
        ("a b", "/b", "https://a.example/b", ProofError::UnknownHost),
        ("", "/b", "https://a.example/b", ProofError::UnknownHost),
    ] {
        let response = send(&fixture, target, &format!("Host: {host}\r\n"), htu);
        fixture.assert_invalid_proof(&response, reason, &format!("{host}{target} {htu}"));
    }
    for lines in ["", "Host: a.example\r\nHost: a.example\r\n"] {
        let response = send(&fixture, "/b", lines, "https://a.example/b");
        // The HTTP server may reject it itself.
        assert!(matches!(response.status, 400 | 401), "{lines}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn proof_for_another_host_is_rejected_if_the_hosts_are_listed() {
    let fixture = Fixture::with(|binding| binding.hosts(["a.example", "b.example:8443"])).await;
    for host in ["a.example", "A.example", "a.example:8080", "b.example:8443"] {
        let response =
            send(&fixture, "/b", &format!("Host: {host}\r\n"), &format!("https://{host}/b"));
        assert_eq!(response.status, 200, "{host}: {}", fixture.reasons.take_last());
    }
    // What another service could send that has received the token and the proof.
    for host in ["c.example", "b.example", "b.example:8444", "a.example.c.example", "[::1]"] {
        let htu = format!("https://{host}/b");
        let response = send(&fixture, "/b", &format!("Host: {host}\r\n"), &htu);
        fixture.assert_invalid_proof(&response, ProofError::OtherHost, host);
        // The authority counts, and not `Host`.
        let response = send(&fixture, &htu, "Host: a.example\r\n", &htu);
        fixture.assert_invalid_proof(&response, ProofError::OtherHost, host);
    }
}

#[test]
fn malformed_or_missing_hosts_are_errors() {
    let build = |hosts: &[&str]| {
        DpopBinding::builder(SealedStore::memory()).hosts(hosts).hosts("a.example").build()
    };
    assert!(build(&["a.example", "[::1]:8443"]).is_ok());
    for hosts in [&[][..], &[""], &["https://a.example"], &["a.example", "*"], &["a.example/b"]] {
        assert!(build(hosts).is_err(), "{hosts:?}");
    }
}

/// A server behind a proxy, with the settings of the binding.
async fn proxied(forwarded: Forwarded, prefix: &str) -> Fixture {
    Fixture::with(|binding| binding.forwarded(forwarded).path_prefix(prefix)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn scheme_and_host_are_those_that_a_trusted_proxy_reports() {
    let trusted = || Forwarded::from_proxies("127.0.0.1").unwrap();
    let lines = "Host: orders.internal\r\nX-Forwarded-For: 192.0.2.1\r\n\
                 X-Forwarded-Proto: https\r\nX-Forwarded-Host: api.example\r\n";
    for (forwarded, host, expected) in [
        (trusted().forwarded_host(), "https://api.example", None),
        (trusted().forwarded_host(), "http://api.example", Some(ProofError::UrlScheme)),
        (trusted().forwarded_host(), "https://orders.internal", Some(ProofError::UrlHost)),
        (trusted(), "https://orders.internal", None),
        (trusted(), "https://api.example", Some(ProofError::UrlHost)),
        (Forwarded::direct(), "http://orders.internal", None),
        (Forwarded::direct(), "https://orders.internal", Some(ProofError::UrlScheme)),
        (
            Forwarded::from_proxies("10.0.0.0/8").unwrap().forwarded_host(),
            "https://api.example",
            Some(ProofError::UrlScheme),
        ),
    ] {
        let fixture = proxied(forwarded, "").await;
        let response = send(&fixture, "/b", lines, &format!("{host}/b"));
        match expected {
            None => assert_eq!(response.status, 200, "{host} {}", fixture.reasons.take_last()),
            Some(reason) => fixture.assert_invalid_proof(&response, reason, host),
        }
    }
    // The proxy does not report the host.
    let fixture = proxied(trusted().forwarded_host(), "").await;
    let lines = "Host: api.example\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n";
    let response = send(&fixture, "/b", lines, "https://api.example/b");
    fixture.assert_invalid_proof(&response, ProofError::UnknownHost, "no host");
}

#[tokio::test(flavor = "multi_thread")]
async fn prefix_that_a_proxy_removes_is_part_of_the_url() {
    let fixture = proxied(Forwarded::direct().tls(), "/api/v1").await;
    let host = "Host: a.example\r\n";
    assert_eq!(send(&fixture, "/b", host, "https://a.example/api/v1/b").status, 200);
    assert_eq!(send(&fixture, "/", host, "https://a.example/api/v1/").status, 200);
    let response = send(&fixture, "/b", host, "https://a.example/b");
    fixture.assert_invalid_proof(&response, ProofError::UrlPath, "without prefix");
}

/// axum removes the prefix of a nested router from the URI that its layers see.
#[tokio::test(flavor = "multi_thread")]
async fn path_in_a_nested_router_is_the_one_that_the_client_sent() {
    let clock = TestClock::new();
    let mint = TokenMint::new("https://issuer.example");
    let store = SealedStore::new(Memory::with_clock(clock), secret());
    let binding = DpopBinding::builder(store).build().unwrap();
    let tokens = mint.validator("orders").binding(binding).build().unwrap();
    let layer = AuthenticateLayer::new(tokens).observer(Reasons::default());
    let inner = Router::new().route("/orders", any(greet)).layer(layer);
    let address = Api::serve(Router::new().nest("/api", inner)).await.address;
    let client = DpopClient::new("ES256");
    let cnf = json!({ "jkt": client.thumbprint() });
    let token = mint.token("alice").audience("orders").claim("cnf", cnf).sign();
    for (path, status) in [("/api/orders", 200), ("/orders", 401)] {
        let proof = client.proof("GET", &format!("http://{address}{path}"), &token, now());
        let headers = [("Authorization", &*format!("DPoP {token}")), ("DPoP", &*proof)];
        assert_eq!(raw::get(&address, "/api/orders", &headers).status, status, "{path}");
    }
}
