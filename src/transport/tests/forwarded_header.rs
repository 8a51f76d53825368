use super::*;

/// The headers of the client are followed by those of the proxy, in the same line or in another.
fn after_prefix(prefix: &str, appended: &str) -> [(Option<IpAddr>, bool); 2] {
    let forwarded = proxied().rfc7239();
    let joined = format!("{prefix}, {appended}");
    [
        info_of(&forwarded, &[("forwarded", joined.as_bytes())]),
        info_of(
            &forwarded,
            &[("forwarded", prefix.as_bytes()), ("forwarded", appended.as_bytes())],
        ),
    ]
}

#[test]
fn element_of_the_first_proxy_has_the_address_and_the_scheme() {
    for (header, client, is_https) in [
        ("for=192.0.2.1;proto=https", Some("192.0.2.1"), true),
        ("For=192.0.2.1;PROTO=HTTPS;by=10.0.0.1;ext=1", Some("192.0.2.1"), true),
        ("proto=wss;for=\"192.0.2.1:47011\"", Some("192.0.2.1"), true),
        ("for=\"[2001:db8:cafe::17]:4711\"", Some("2001:db8:cafe::17"), false),
        ("for=\"\\[2001:db8::\\1]\";proto=\"ht\\tps\"", Some("2001:db8::1"), true),
        ("for=\"[::ffff:192.0.2.1]\"", Some("192.0.2.1"), false),
        ("for=192.0.2.1;proto=http", Some("192.0.2.1"), false),
        ("for=192.0.2.1;proto=", None, false),
        ("for=192.0.2.1; proto=https ; ;", Some("192.0.2.1"), true),
        // The walk.
        ("for=203.0.113.9, for=192.0.2.1;proto=https", Some("192.0.2.1"), true),
        ("for=192.0.2.1;proto=https, for=10.0.0.2;proto=http", Some("192.0.2.1"), true),
        ("for=192.0.2.1;proto=http, for=10.0.0.2;proto=https", Some("192.0.2.1"), false),
        ("for=192.0.2.1, for=10.0.0.2;proto=https", Some("192.0.2.1"), false),
        ("for=10.0.0.7;proto=https, for=10.0.0.2", Some("10.0.0.7"), true),
        // No address: what is to the left came from an unknown sender.
        ("for=192.0.2.1;proto=https, for=unknown", None, false),
        ("for=192.0.2.1, for=unknown;proto=https", None, true),
        ("for=192.0.2.1, for=_hidden;proto=https", None, true),
        ("for=192.0.2.1, for=\"_hidden:_port\";proto=https", None, true),
        ("for=192.0.2.1, proto=https", None, true),
        ("for=192.0.2.1, ;", None, false),
    ] {
        let found = info_of(&proxied().rfc7239(), &[("forwarded", header.as_bytes())]);
        assert_eq!(found, (client.and_then(address), is_https), "{header}");
    }
}

#[test]
fn element_with_a_syntax_error_is_unreadable() {
    for element in [
        "",
        ",",
        "for",
        "for=",
        "=192.0.2.1",
        "for =192.0.2.1",
        "for= 192.0.2.1",
        "for=[::1]",
        "for=192.0.2.1:80",
        "for=::1",
        "for=\"::1\"",
        "for=\"2001:db8::1:80\"",
        "for=\"\"",
        "for=\"192.0.2.1",
        "for=192.0.2.1\"",
        "for='192.0.2.1'",
        "for=\"192.0.2.1\"x",
        "for=192.0.2.1 proto=https",
        "for=\"192.0.2.1\" \"x\"",
        "for=\"192.0.2.1\\\"",
        "for=192.0.2.1;for=192.0.2.1",
        "for=192.0.2.1;FOR=192.0.2.2",
        "proto=https;proto=https",
        "host=a;host=a",
        "by=a;by=a",
        "for=192.0.2.1;;x",
        "for=192.0.2.1;x=",
        "f\u{f6}r=192.0.2.1",
        "for=\u{e9}",
        "for=\"\u{e9}\"",
        "for=x",
        "192.0.2.1",
        "for=192.0.2.1/32",
        "for==192.0.2.1",
    ] {
        // To the left is what a client would add to have it read instead.
        for left in ["", "for=203.0.113.9;proto=https, "] {
            let header = format!("{left}{element};proto=https");
            let found = info_of(&proxied().rfc7239(), &[("forwarded", header.as_bytes())]);
            let expected = match element {
                // An element without an address.
                "" | "," => (None, true),
                _ => (None, false),
            };
            assert_eq!(found, expected, "{header}");
        }
        let header = format!("for=203.0.113.9;proto=https, {element}");
        let found = info_of(&proxied().rfc7239(), &[("forwarded", header.as_bytes())]);
        assert_eq!(found, (None, false), "{header}");
    }
}

#[test]
fn quotes_and_escapes_of_a_client_do_not_change_the_element_of_a_proxy() {
    let appended = [
        ("for=192.0.2.1;proto=http", (address("192.0.2.1"), false)),
        ("for=\"[2001:db8::1]:4711\";proto=https", (address("2001:db8::1"), true)),
        ("for=\"_a\";host=\"a,for=9.9.9.9;b=\";proto=http", (None, false)),
        ("host=\"\\\",for=9.9.9.9\\\\\";for=192.0.2.1", (address("192.0.2.1"), false)),
        ("for=192.0.2.1;x=\"\\\\\\\",\"", (address("192.0.2.1"), false)),
    ];
    for prefix in [
        "\"",
        "for=\"",
        "for=\"9.9.9.9",
        "for=\"9.9.9.9\\",
        "for=\"9.9.9.9\\\"",
        "for=9.9.9.9;x=\"",
        "for=9.9.9.9;proto=https;x=\"\\",
        "\\",
        "\\\"",
        "for=9.9.9.9;proto=https;host=\"a\", \"",
        "for=9.9.9.9,\"",
        "for=9.9.9.9;",
        "for=",
        "for",
        ";",
        ",",
        "",
        "\"\"\"",
        "\u{ff}\"",
    ] {
        for (element, expected) in appended {
            assert_eq!(after_prefix(prefix, element), [expected; 2], "{prefix} {element}");
            // Another proxy has appended its element.
            let two = format!("{element}, for=\"10.0.0.2:_x\";proto=https");
            assert_eq!(after_prefix(prefix, &two), [expected; 2], "{prefix} {two}");
        }
    }
}

#[test]
fn quoted_string_does_not_span_lines() {
    let lines: &[(&str, &[u8])] = &[
        ("forwarded", b"for=9.9.9.9;proto=https;x=\""),
        ("forwarded", b"for=192.0.2.1;proto=http;y=\""),
    ];
    assert_eq!(info_of(&proxied().rfc7239(), lines), (None, false));
    let lines = [lines[0], ("forwarded", b"for=192.0.2.1")];
    assert_eq!(info_of(&proxied().rfc7239(), &lines), (address("192.0.2.1"), false));
}

#[test]
fn request_through_more_than_32_elements_of_proxies_has_no_address() {
    for (proxies, client) in [(31, address("192.0.2.1")), (32, None), (1_000, None)] {
        let header = format!("for=192.0.2.1;proto=https{}", ", for=10.0.0.2".repeat(proxies));
        let found = info_of(&proxied().rfc7239(), &[("forwarded", header.as_bytes())]);
        assert_eq!(found, (client, client.is_some()), "{proxies}");
    }
    let quotes = "\"\\".repeat(30_000) + ",for=192.0.2.1";
    let found = info_of(&proxied().rfc7239(), &[("forwarded", quotes.as_bytes())]);
    assert_eq!(found.0, address("192.0.2.1"));
}
