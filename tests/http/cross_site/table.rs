//! All pairs of `Sec-Fetch-Site` and `Origin`.

use tower_auth::RejectionKind;

use super::{head, present, rejection, staff};

const ORIGINS: [Option<&str>; 5] = [
    None,
    Some("https://app.test"),
    Some("http://app.test"),
    Some("null"),
    Some("https://evil.test"),
];
const SITES: [Option<&str>; 6] =
    [None, Some("same-origin"), Some("same-site"), Some("cross-site"), Some("none"), Some("x")];

/// Whether the pair passes (`+`): a row for each of [`SITES`], a column for each of [`ORIGINS`].
type Table = [&'static str; 6];

const UNSAFE: Table = ["++---", "+++++", "-----", "-----", "+++++", "-----"];
const UPGRADE: Table = ["-+---", "+++++", "-----", "-----", "+++++", "-----"];
/// `https://evil.test` is trusted.
const UNSAFE_TRUSTED: Table = ["++--+", "+++++", "----+", "----+", "+++++", "----+"];
const UPGRADE_TRUSTED: Table = ["-+--+", "+++++", "----+", "----+", "+++++", "----+"];
const SAFE: Table = ["+++++"; 6];

#[track_caller]
fn assert_table(method: &str, line: Option<(&str, &str)>, table: Table, trusted_table: Table) {
    let plain = staff();
    let trusting = staff().trusted_origin("https://evil.test").unwrap();
    for (row, site) in SITES.into_iter().enumerate() {
        for (column, origin) in ORIGINS.into_iter().enumerate() {
            let mut lines = present(site, origin);
            lines.extend(line);
            let expected = |table: Table| match table[row].as_bytes()[column] {
                b'+' => None,
                _ => Some(RejectionKind::CrossSite),
            };
            let head = head(method, &lines);
            assert_eq!(rejection(&plain, &head), expected(table), "{method} {lines:?}");
            let result = rejection(&trusting, &head);
            assert_eq!(result, expected(trusted_table), "trusting: {method} {lines:?}");
        }
    }
}

#[test]
fn unsafe_method_follows_the_table() {
    for method in ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "get"] {
        assert_table(method, None, UNSAFE, UNSAFE_TRUSTED);
        assert_table(method, Some(("upgrade", "h2c")), UNSAFE, UNSAFE_TRUSTED);
    }
}

#[test]
fn method_override_follows_the_table_with_any_method() {
    for name in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
        for method in ["GET", "HEAD", "OPTIONS", "POST"] {
            for value in ["DELETE", "GET", ""] {
                assert_table(method, Some((name, value)), UNSAFE, UNSAFE_TRUSTED);
            }
        }
    }
}

#[test]
fn upgrade_follows_the_table_and_needs_an_origin() {
    for method in ["GET", "POST"] {
        for protocol in [
            "websocket",
            "WebSocket",
            "h2c, websocket",
            "h2c,x/1",
            "h2c2",
            "TLS",
            "TLS/1.2,x",
            "TLS/x",
        ] {
            assert_table(method, Some(("upgrade", protocol)), UPGRADE, UPGRADE_TRUSTED);
        }
    }
    // WebSocket over HTTP/2 (RFC 8441).
    assert_table("CONNECT", None, UPGRADE, UPGRADE_TRUSTED);
    assert_table("CONNECT", Some(("upgrade", "h2c")), UPGRADE, UPGRADE_TRUSTED);
}

#[test]
fn safe_method_passes() {
    for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
        assert_table(method, None, SAFE, SAFE);
        for protocol in ["h2c", "H2C", " h2c , h2c", "TLS/1.2", "tls/1.3, h2c", ""] {
            assert_table(method, Some(("upgrade", protocol)), SAFE, SAFE);
        }
    }
}

#[test]
fn allowed_cross_site_request_passes() {
    let staff = staff().dangerous_allow_cross_site();
    for method in ["GET", "POST", "CONNECT"] {
        for site in SITES {
            for origin in ORIGINS {
                let head = head(method, &present(site, origin));
                assert_eq!(rejection(&staff, &head), None);
            }
        }
    }
}

#[test]
fn repeated_header_is_rejected() {
    let own = ("origin", "https://app.test");
    let site = ("sec-fetch-site", "same-origin");
    let trusting = staff().trusted_origin("https://evil.test").unwrap();
    for lines in [
        vec![own, own],
        vec![own, own, site],
        vec![own, ("origin", "https://evil.test")],
        vec![("origin", "https://evil.test"), own],
        vec![("origin", "https://evil.test"), ("origin", "https://evil.test")],
        vec![site, site],
        vec![site, ("sec-fetch-site", "cross-site")],
        vec![own, ("sec-fetch-site", "none"), site],
    ] {
        let head = head("POST", &lines);
        assert_eq!(rejection(&trusting, &head), Some(RejectionKind::CrossSite), "{lines:?}");
    }
    let lines = [own, own, site, site];
    assert_eq!(rejection(&staff(), &head("GET", &lines)), None);
}

#[test]
fn spelling_of_sec_fetch_site_is_exact() {
    for site in
        ["Same-Origin", "SAME-ORIGIN", "same-origin,none", "same-origin, same-origin", "", "None"]
    {
        let lines = present(Some(site), None);
        let head = head("POST", &lines);
        assert_eq!(rejection(&staff(), &head), Some(RejectionKind::CrossSite), "{site:?}");
    }
}

/// A request to this host, from pages of the origins that browsers send for it.
#[test]
fn own_origin_passes_in_every_form_of_the_host() {
    let is_admitted = |host: &str, origin: &str| {
        let mut head = head("POST", &[("origin", origin)]);
        head.headers.insert("host", host.parse().unwrap());
        rejection(&staff(), &head).is_none()
    };
    for (host, origin) in [
        ("app.test", "https://app.test"),
        ("app.test:443", "https://app.test"),
        ("app.test", "https://app.test:443"),
        ("APP.test", "https://app.test"),
        ("app.test:8443", "https://app.test:8443"),
        ("[::1]", "https://[::1]"),
        ("[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
        ("xn--bcher-kva.test", "https://xn--bcher-kva.test"),
    ] {
        assert!(is_admitted(host, origin), "{host} {origin}");
    }
    for (host, origin) in [
        ("app.test:80", "https://app.test"),
        ("app.test", "https://app.test:80"),
        ("app.test", "https://app.test:8443"),
        ("app.test:8443", "https://app.test"),
        ("app.test", "https://app.test/"),
        ("app.test", "https://user@app.test"),
        ("user@app.test", "https://user@app.test"),
        ("app.test", "https://sibling.app.test"),
        ("sibling.app.test", "https://app.test"),
        ("app.test.", "https://app.test"),
        ("null", "null"),
        ("", "https://"),
        ("b\u{fc}cher.test", "https://b\u{fc}cher.test"),
    ] {
        assert!(!is_admitted(host, origin), "{host} {origin}");
    }
}
