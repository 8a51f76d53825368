//! The cases of `CrossOriginProtection` in Go 1.25, for a service at `https://app.test`.

use tower_auth::RejectionKind;

use super::{head, present, rejection, staff};

#[test]
fn results_are_those_of_go() {
    let own = "https://app.test";
    let (evil, trusted) = ("https://evil.test", "https://trusted.test");
    let staff = staff().trusted_origin(trusted).unwrap();
    for (method, site, origin, passes) in [
        ("POST", Some("same-origin"), None, true),
        ("POST", Some("none"), None, true),
        ("POST", Some("cross-site"), None, false),
        ("POST", Some("same-site"), None, false),
        ("POST", None, None, true),
        ("POST", None, Some(own), true),
        ("POST", None, Some(evil), false),
        ("POST", None, Some("null"), false),
        ("GET", Some("cross-site"), None, true),
        ("HEAD", Some("cross-site"), None, true),
        ("OPTIONS", Some("cross-site"), None, true),
        ("PUT", Some("cross-site"), None, false),
        ("POST", None, Some(trusted), true),
        ("POST", Some("cross-site"), Some(trusted), true),
        ("POST", Some("cross-site"), Some(evil), false),
        ("GET", None, Some(evil), true),
    ] {
        let expected = (!passes).then_some(RejectionKind::CrossSite);
        let result = rejection(&staff, &head(method, &present(site, origin)));
        assert_eq!(result, expected, "{method} {site:?} {origin:?}");
    }
}

#[test]
fn trusted_origins_are_those_of_go() {
    for (origin, is_valid) in [
        ("https://app.test", true),
        ("https://app.test:8080", true),
        ("http://app.test", true),
        ("app.test", false),
        ("https://", false),
        ("https://app.test/", false),
        ("https://app.test/path", false),
        ("https://app.test?query=value", false),
        ("https://app.test#fragment", false),
        ("https://a pp.test", false),
        ("", false),
        ("null", false),
    ] {
        assert_eq!(staff().trusted_origin(origin).is_ok(), is_valid, "{origin}");
    }
}
