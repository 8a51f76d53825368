use super::*;

/// Each case has the lines of `X-Forwarded-For` and the client address.
#[test]
fn first_address_from_the_right_that_is_no_proxy_is_the_client() {
    for (lines, client) in [
        (&["192.0.2.1"][..], Some("192.0.2.1")),
        (&["203.0.113.9, 192.0.2.1"], Some("192.0.2.1")),
        (&["192.0.2.1, 10.0.0.2"], Some("192.0.2.1")),
        (&["192.0.2.1,10.0.0.3,\tfd00::2"], Some("192.0.2.1")),
        (&["203.0.113.9, 10.0.0.9, 192.0.2.1, 10.0.0.2"], Some("192.0.2.1")),
        (&["192.0.2.1", "10.0.0.2"], Some("192.0.2.1")),
        (&["203.0.113.9", "192.0.2.1, 10.0.0.3", "10.0.0.2"], Some("192.0.2.1")),
        (&["203.0.113.9", "192.0.2.1"], Some("192.0.2.1")),
        (&["[2001:db8::1]:4711, 10.0.0.2:80"], Some("2001:db8::1")),
        (&["fe80::1%eth0, ::ffff:10.0.0.2"], Some("fe80::1")),
        // A client inside the trusted networks.
        (&["10.0.0.7, 10.0.0.2"], Some("10.0.0.7")),
        (&["10.0.0.7"], Some("10.0.0.7")),
        // The client has sent something unreadable, to the left of what a proxy has appended.
        (&["garbage, 192.0.2.1"], Some("192.0.2.1")),
        (&[", , 192.0.2.1"], Some("192.0.2.1")),
        (&["\"a, 192.0.2.1"], Some("192.0.2.1")),
        (&["\u{e9}\u{ff}", "192.0.2.1"], Some("192.0.2.1")),
        (&["\u{e9}, 192.0.2.1, 10.0.0.2"], Some("192.0.2.1")),
        // A trusted proxy has reported something unreadable.
        (&["192.0.2.1, garbage"], None),
        (&["192.0.2.1, unknown, 10.0.0.2"], None),
        (&["garbage, 10.0.0.2"], None),
        (&["192.0.2.1, , 10.0.0.2"], None),
        (&["192.0.2.1,"], None),
        (&["192.0.2.1", ""], None),
        (&[""], None),
        (&[","], None),
        (&["192.0.2.1, 10.0.0.\u{e9}"], None),
        (&["192.0.2.1 10.0.0.2"], None),
        (&[], None),
    ] {
        let mut headers: Vec<(&str, &[u8])> =
            lines.iter().map(|line| ("x-forwarded-for", line.as_bytes())).collect();
        headers.push(("x-forwarded-proto", b"https"));
        let (found, is_https) = info_of(&proxied(), &headers);
        assert_eq!(found, client.and_then(address), "{lines:?}");
        // Without the header, the last proxy still reports the scheme.
        assert_eq!(is_https, client.is_some() || lines.is_empty(), "{lines:?}");
    }
}

/// Each case has the entries of `X-Forwarded-For` and of `X-Forwarded-Proto`.
#[test]
fn scheme_is_https_only_if_the_first_proxy_reports_it() {
    for (addresses, schemes, is_https) in [
        ("192.0.2.1", Some("https"), true),
        ("192.0.2.1", Some("HTTPS"), true),
        ("192.0.2.1", Some("wss"), true),
        ("192.0.2.1", Some("http"), false),
        ("192.0.2.1", Some("ws"), false),
        ("192.0.2.1", Some("httpss"), false),
        ("192.0.2.1", Some("https:"), false),
        ("192.0.2.1", Some("\"https\""), false),
        ("192.0.2.1", Some(""), false),
        ("192.0.2.1", Some("https,"), false),
        ("192.0.2.1", None, false),
        // The client has sent an entry, and the proxy has appended another.
        ("192.0.2.1", Some("https, http"), false),
        ("192.0.2.1", Some("http, https"), true),
        ("203.0.113.9, 192.0.2.1", Some("https, http"), false),
        // Two proxies, which append or pass on.
        ("192.0.2.1, 10.0.0.2", Some("https, http"), true),
        ("192.0.2.1, 10.0.0.2", Some("http, https"), false),
        ("192.0.2.1, 10.0.0.2", Some("https, http, https"), false),
        ("192.0.2.1, 10.0.0.2", Some("https"), true),
        ("192.0.2.1, 10.0.0.2", Some("http"), false),
        // Three proxies with two entries: the left one can be that of the client.
        ("192.0.2.1, 10.0.0.3, 10.0.0.2", Some("https, http"), false),
        ("192.0.2.1, 10.0.0.3, 10.0.0.2", Some("https, https"), false),
        ("192.0.2.1, 10.0.0.3, 10.0.0.2", Some("https, http, http"), true),
        ("192.0.2.1, 10.0.0.3, 10.0.0.2", Some("https"), true),
    ] {
        let mut headers: Vec<(&str, &[u8])> = vec![("x-forwarded-for", addresses.as_bytes())];
        headers.extend(schemes.map(|schemes| ("x-forwarded-proto", schemes.as_bytes())));
        assert_eq!(info_of(&proxied(), &headers).1, is_https, "{addresses} {schemes:?}");
    }
    let lines: &[(&str, &[u8])] = &[
        ("x-forwarded-for", b"192.0.2.1"),
        ("x-forwarded-proto", b"\xff"),
        ("x-forwarded-proto", b"https"),
    ];
    assert!(info_of(&proxied(), lines).1);
}

#[test]
fn request_through_more_than_32_proxies_has_no_address() {
    for (proxies, client) in [(31, address("192.0.2.1")), (32, None), (1_000, None)] {
        let entries = format!("192.0.2.1{}", ", 10.0.0.2".repeat(proxies));
        let headers: &[(&str, &[u8])] =
            &[("x-forwarded-for", entries.as_bytes()), ("x-forwarded-proto", b"https")];
        assert_eq!(info_of(&proxied(), headers), (client, client.is_some()), "{proxies}");
    }
    let long = "203.0.113.9, ".repeat(1_000) + "192.0.2.1";
    let headers: &[(&str, &[u8])] = &[("x-forwarded-for", long.as_bytes())];
    assert_eq!(info_of(&proxied(), headers).0, address("192.0.2.1"));
}
