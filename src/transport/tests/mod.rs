//! What requests with the headers of proxies and clients are taken for.

mod forwarded_header;
mod properties;
mod x_forwarded;

use std::net::IpAddr;

use http::{HeaderName, HeaderValue, Request, request::Parts};

use super::Forwarded;

/// The address of the trusted proxy that has sent the requests.
const PROXY: &str = "10.0.0.1";

/// Trusts 10.0.0.0/8 and fd00::/8.
fn proxied() -> Forwarded {
    Forwarded::from_proxies(["10.0.0.0/8", "fd00::/8"]).unwrap().peer(|_| PROXY.parse().ok())
}

fn head(headers: &[(&'static str, &[u8])]) -> Parts {
    let mut head = Request::new(()).into_parts().0;
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value).unwrap();
        head.headers.append(HeaderName::from_static(name), value);
    }
    head
}

/// Returns the client address, and whether the scheme is https.
fn info_of(forwarded: &Forwarded, headers: &[(&'static str, &[u8])]) -> (Option<IpAddr>, bool) {
    let head = head(headers);
    let info = forwarded.info(&head);
    (info.client_address(), info.is_https())
}

fn address(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

#[test]
fn without_a_trusted_peer_no_header_is_read() {
    let headers: &[(&str, &[u8])] = &[
        ("host", b"app.example"),
        ("x-forwarded-for", b"192.0.2.1"),
        ("x-forwarded-proto", b"https"),
        ("x-forwarded-host", b"forged.example"),
        ("forwarded", b"for=192.0.2.1;proto=https;host=forged.example"),
    ];
    let head = head(headers);
    let proxied = || Forwarded::from_proxies("10.0.0.0/8").unwrap();
    for forwarded in [Forwarded::direct(), proxied(), proxied().rfc7239()] {
        let forwarded = forwarded.forwarded_host();
        for peer in [None, address("11.0.0.1"), address("::10.0.0.1"), address("fd00::1")] {
            let info = forwarded.clone().peer(move |_| peer).info(&head);
            assert_eq!(info.client_address(), peer);
            assert!(!info.is_https());
            assert_eq!(info.host(), Some("app.example"));
        }
        assert_eq!(forwarded.info(&head).client_address(), None, "no framework");
    }
}

#[test]
fn ipv4_mapped_peer_is_an_ipv4_proxy() {
    let mapped = proxied().peer(|_| "::ffff:10.0.0.1".parse().ok());
    let client = info_of(&mapped, &[("x-forwarded-for", b"::ffff:192.0.2.1")]).0;
    assert_eq!(client, address("192.0.2.1"));
    let direct = Forwarded::direct().peer(|_| "::ffff:192.0.2.1".parse().ok());
    assert_eq!(info_of(&direct, &[]).0, address("192.0.2.1"));
}

#[test]
fn tls_of_this_process_is_the_scheme_only_without_a_proxy() {
    let from = |peer| move |_: &Parts| peer;
    let direct = Forwarded::direct().tls();
    assert!(info_of(&direct, &[]).1 && info_of(&direct.peer(from(address("192.0.2.1"))), &[]).1);
    let proxied = proxied().tls();
    assert!(info_of(&proxied.clone().peer(from(address("192.0.2.1"))), &[]).1);
    assert!(!info_of(&proxied, &[]).1, "a proxy that reports nothing");
    assert!(!info_of(&proxied.peer(from(None)), &[]).1, "perhaps a proxy");
}

#[test]
fn only_the_configured_family_of_headers_is_read() {
    let both: &[(&str, &[u8])] = &[
        ("x-forwarded-for", b"192.0.2.1"),
        ("x-forwarded-proto", b"http"),
        ("forwarded", b"for=192.0.2.2;proto=https"),
    ];
    assert_eq!(info_of(&proxied(), both), (address("192.0.2.1"), false));
    assert_eq!(info_of(&proxied().rfc7239(), both), (address("192.0.2.2"), true));
    assert_eq!(info_of(&proxied(), &both[2..]), (None, false));
    assert_eq!(info_of(&proxied().rfc7239(), &both[..2]), (None, false));
}

#[test]
fn forwarded_host_is_read_only_if_configured() {
    let head = head(&[
        ("host", b"app.example"),
        ("x-forwarded-for", b"192.0.2.1"),
        ("x-forwarded-host", b"public.example:8443"),
        ("forwarded", b"for=192.0.2.1;host=\"other.example:8443\""),
    ]);
    let host = |forwarded: Forwarded| forwarded.info(&head).host().map(str::to_owned);
    assert_eq!(host(proxied()).as_deref(), Some("app.example"));
    assert_eq!(host(proxied().rfc7239()).as_deref(), Some("app.example"));
    let (for_x, rfc7239) = (proxied().forwarded_host(), proxied().rfc7239().forwarded_host());
    assert_eq!(host(for_x).as_deref(), Some("public.example:8443"));
    assert_eq!(host(rfc7239).as_deref(), Some("other.example:8443"));
}

#[test]
fn missing_or_impossible_forwarded_host_is_unknown() {
    for (name, values) in [
        ("x-forwarded-host", ["", "a b", "user@a", "a/b", "a,", "\"a\""]),
        (
            "forwarded",
            [
                "for=192.0.2.1",
                "for=192.0.2.1;host=\"\"",
                "for=192.0.2.1;host=\"a b\"",
                "for=192.0.2.1;host=\"a\\b\"",
                "for=192.0.2.1;host=\"u@a\"",
                "for=x;host=a",
            ],
        ),
    ] {
        let forwarded = proxied().forwarded_host();
        let forwarded = if name == "forwarded" { forwarded.rfc7239() } else { forwarded };
        for value in values {
            let head = head(&[
                ("host", b"app.example"),
                ("x-forwarded-for", b"192.0.2.1"),
                (name, value.as_bytes()),
            ]);
            assert_eq!(forwarded.info(&head).host(), None, "{value}");
        }
    }
}
