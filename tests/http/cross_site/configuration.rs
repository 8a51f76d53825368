//! Trusted origins, hosts, and the reasons of rejections.

use std::error::Error as _;

use futures_util::FutureExt as _;
use tower_auth::{
    Authenticator as _, ConfigErrorKind, RejectionKind, credentials::TokenLocation,
    jwt::JwtAuthBuilder, transport::Forwarded,
};
use tower_auth_test_support::api::Issuer;

use super::{head, rejection, staff};

fn with_cookie() -> JwtAuthBuilder {
    Issuer::new().builder().token_from(TokenLocation::cookie("__Host-token"))
}

#[test]
fn origin_in_another_form_is_a_config_error_with_the_right_form() {
    for (origin, form) in [
        ("https://A.example:443/", "write https://a.example instead of \"https://A.example:443/\""),
        ("https://admin.example/", "write https://admin.example instead"),
        ("HTTPS://admin.example", "write https://admin.example instead"),
        ("https://admin.example/login", "write https://admin.example instead"),
        ("https://admin.example:0443", "write https://admin.example instead"),
        ("http://admin.example:80", "write http://admin.example instead"),
        ("wss://admin.example", "write https://admin.example instead"),
        ("admin.example", "write https://admin.example instead"),
        ("admin.example:8443", "write https://admin.example:8443 instead"),
        ("http://[0::1]:3000", "write http://[::1]:3000 instead"),
        ("https://me:secret@admin.example", "write https://admin.example,"),
        ("https://admin.example?secret", "write https://admin.example,"),
    ] {
        let error = staff().trusted_origin(origin).unwrap_err();
        assert!(error.to_string().contains(form), "{origin}: {error}");
        assert!(!error.to_string().contains("secret"), "{error}");
        assert_eq!(error.kind(), ConfigErrorKind::Invalid);
        let built = with_cookie().trusted_origin(["https://ok.example", origin]).build();
        assert_eq!(built.unwrap_err().to_string(), error.to_string());
    }
    for origin in [
        "",
        "null",
        "*",
        "https://*",
        "https://*.admin.example",
        "https://bücher.example",
        "file://",
    ] {
        let error = staff().trusted_origin(origin).unwrap_err();
        assert!(error.to_string().contains("such as https://admin.example:8443"), "{error}");
    }
    for origin in [
        "https://admin.example",
        "http://localhost:3000",
        "http://127.0.0.1",
        "https://[2001:db8::1]:8443",
        "https://xn--bcher-kva.example",
        "capacitor://localhost",
        "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
    ] {
        let staff = staff().trusted_origin(origin).unwrap();
        let lines = [("origin", origin), ("sec-fetch-site", "cross-site")];
        assert_eq!(rejection(&staff, &head("POST", &lines)), None, "{origin}");
    }
}

#[test]
fn trusted_origin_is_compared_byte_for_byte() {
    let staff = staff().trusted_origin(["https://admin.test", "https://x.test:8443"]).unwrap();
    let is_admitted = |origin| rejection(&staff, &head("POST", &[("origin", origin)])).is_none();
    assert!(is_admitted("https://admin.test") && is_admitted("https://x.test:8443"));
    for other in [
        "https://ADMIN.test",
        "https://admin.test:443",
        "https://admin.test/",
        "http://admin.test",
        "https://admin.test.",
        "https://x.test",
        "https://a.admin.test",
        "https://admin.testing",
    ] {
        assert!(!is_admitted(other), "{other}");
    }
}

#[test]
fn trusted_origin_with_allowed_cross_site_requests_is_a_conflict() {
    let builder = with_cookie;
    for builder in [
        builder().trusted_origin("https://a.example").dangerous_allow_cross_site(),
        builder().dangerous_allow_cross_site().trusted_origin("https://a.example"),
    ] {
        assert_eq!(builder.build().unwrap_err().kind(), ConfigErrorKind::Conflict);
    }
    let error = staff().dangerous_allow_cross_site().trusted_origin("https://a.example");
    assert_eq!(error.unwrap_err().kind(), ConfigErrorKind::Conflict);
    let tokens = Issuer::new().auth().dangerous_allow_cross_site();
    let error = tokens.trusted_origin("https://a.example");
    assert_eq!(error.unwrap_err().kind(), ConfigErrorKind::Conflict);
    builder().dangerous_allow_cross_site().hosts("app.test").build().unwrap();
}

#[test]
fn malformed_host_is_a_config_error() {
    for host in [
        "",
        "https://app.test",
        "app.test/",
        "app.test/path",
        "*.app.test",
        "*",
        "user@app.test",
        "app.test:",
        "app.test:0",
        "app.test:99999",
        "app.test:0443",
        "::1",
        "bücher.test",
    ] {
        let error = staff().hosts(host).unwrap_err();
        assert!(error.to_string().contains("such as app.example"), "{host}: {error}");
        let built = with_cookie().hosts(["app.test", host]).build();
        assert_eq!(built.unwrap_err().kind(), ConfigErrorKind::Invalid, "{host}");
    }
}

#[test]
fn empty_list_of_hosts_is_a_config_error() {
    let none: [&str; 0] = [];
    assert_eq!(staff().hosts(none).unwrap_err().kind(), ConfigErrorKind::Missing);
    let error = with_cookie().hosts(none).build().unwrap_err();
    assert_eq!(error.kind(), ConfigErrorKind::Missing);
}

#[test]
fn request_for_another_host_is_rejected_with_any_method() {
    let staff = staff().hosts(["app.test", "api.test:8443", "old.test:443", "[::1]"]).unwrap();
    for staff in [staff.clone(), staff.dangerous_allow_cross_site()] {
        let result = |method: &str, host: &str| {
            let mut head = head(method, &[("sec-fetch-site", "same-origin")]);
            head.headers.insert("host", host.parse().unwrap());
            rejection(&staff, &head)
        };
        for method in ["GET", "OPTIONS", "POST"] {
            for host in [
                "app.test",
                "APP.test",
                "app.test:443",
                "app.test:9000",
                "api.test:8443",
                "old.test",
                "old.test:443",
                "[::1]",
                "[::1]:3000",
            ] {
                assert_eq!(result(method, host), None, "{method} {host}");
            }
            for host in [
                "evil.test",
                "app.test.",
                "app.test.evil.test",
                "evil.test:app.test",
                "user@app.test",
                "app.test:x",
                "api.test",
                "api.test:443",
                "old.test:80",
                "::1",
                "",
                "app.test, evil.test",
            ] {
                let rejected = Some(RejectionKind::CrossSite);
                assert_eq!(result(method, host), rejected, "{method} {host}");
            }
        }
        let mut unknown = head("GET", &[]);
        unknown.headers.remove("host");
        assert_eq!(rejection(&staff, &unknown), Some(RejectionKind::CrossSite));
        unknown.uri = "https://app.test/".parse().unwrap();
        assert_eq!(rejection(&staff, &unknown), None);
    }
}

#[test]
fn host_that_differs_from_the_target_returns_400() {
    let result = |method: &str, target: &str, hosts: &[&str]| {
        let mut head = head(method, &[("sec-fetch-site", "same-origin")]);
        head.uri = target.parse().unwrap();
        head.headers.remove("host");
        for host in hosts {
            head.headers.append("host", host.parse().unwrap());
        }
        rejection(&staff().dangerous_allow_cross_site(), &head)
    };
    for method in ["GET", "POST"] {
        for (target, hosts) in [
            ("/", &["app.test"][..]),
            ("/", &[]),
            ("https://app.test/", &[]),
            ("https://app.test/", &["app.test"]),
            ("https://app.test/", &["APP.test"]),
            ("https://app.test/", &["app.test:443"]),
            ("https://app.test:443/", &["app.test"]),
            ("http://app.test/", &["app.test:80"]),
            ("http://[::1]:80/", &["[::1]"]),
            ("app.test:443", &["app.test:443"]),
        ] {
            assert_eq!(result(method, target, hosts), None, "{method} {target} {hosts:?}");
        }
        for (target, hosts) in [
            ("/", &["app.test", "app.test"][..]),
            ("/", &["app.test", "evil.test"]),
            ("https://app.test/", &["app.test", "app.test"]),
            ("https://app.test/", &["evil.test"]),
            ("https://app.test/", &["app.test:80"]),
            ("http://app.test/", &["app.test:443"]),
            ("https://app.test/", &["app.test:8443"]),
            ("https://app.test/", &[""]),
            ("https://app.test/", &["app.test."]),
            ("https://user@app.test/", &["app.test"]),
            ("app.test:443", &["app.test"]),
        ] {
            let rejected = Some(RejectionKind::MalformedRequest);
            assert_eq!(result(method, target, hosts), rejected, "{method} {target} {hosts:?}");
        }
    }
}

#[test]
fn reason_says_how_to_fix_the_configuration() {
    let long = format!("https://{}.test", "\u{e4}".repeat(5_000));
    let long_shown = format!("https://{}", r"\xc3\xa4".repeat(146));
    for (method, host, lines, expected) in [
        (
            "POST",
            "app.test",
            vec![("origin", "https://app.test")],
            "Origin https://app.test differs from http://app.test: if a proxy terminates TLS",
        ),
        (
            "POST",
            "backend:8080",
            vec![("origin", "https://app.test")],
            "differs from http://backend:8080: if it is yours, add it with `trusted_origin`",
        ),
        ("POST", "app.test", vec![("origin", &long)], &long_shown),
        (
            "POST",
            "app.test",
            vec![("origin", "https://evil.test"), ("sec-fetch-site", "cross-site")],
            "Sec-Fetch-Site is cross-site: if https://evil.test is yours",
        ),
        ("POST", "app.test", vec![("sec-fetch-site", "x\t\u{85}")], r"is x\t\xc2\x85, and"),
        ("POST", "app.test", vec![("origin", "a"), ("origin", "b")], "more than one origin"),
        ("GET", "app.test", vec![("upgrade", "websocket")], "an upgrade without Origin"),
        ("GET", "app.test", vec![("host", "app.test")], "more than one Host"),
        ("GET", "rebound.test", vec![], "the request is for the host rebound.test"),
    ] {
        let staff = staff().forwarded(Forwarded::direct());
        let staff = staff.hosts(["app.test", "backend"]).unwrap();
        let mut head = head(method, &[]);
        head.headers.insert("host", host.parse().unwrap());
        for (name, value) in lines {
            let value = http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
            head.headers.append(http::HeaderName::from_static(name), value);
        }
        let result = staff.authenticate(&head).unwrap().now_or_never().unwrap().into_result();
        let rejection = result.unwrap_err();
        assert_eq!(rejection.challenges().count(), 0);
        let reason = rejection.source().unwrap().to_string();
        assert!(reason.contains(expected), "{reason}");
        assert!(reason.len() < 2_000 && reason.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    }
}
