use super::*;
use crate::mtls::test_certificate::TestCertificate;

fn find(name: &CertificateName, certificate: &TestCertificate) -> Result<String, CertificateFault> {
    let parsed = ParsedCertificate::parse(&certificate.der()).unwrap();
    name.find(&parsed).map(|subject| subject.to_string())
}

fn dns(name: &str) -> Result<String, CertificateFault> {
    find(&CertificateName::Dns, &TestCertificate::new().dns(name))
}

#[test]
fn only_the_chosen_type_of_name_is_read() {
    let certificate = TestCertificate::new()
        .email("ops@example.com")
        .dns("Orders.Internal")
        .uri("spiffe://prod.example/Orders");
    for (name, subject) in [
        (CertificateName::Dns, "orders.internal"),
        (CertificateName::Uri, "spiffe://prod.example/Orders"),
        (CertificateName::Email, "ops@example.com"),
        (CertificateName::spiffe("prod.example"), "spiffe://prod.example/Orders"),
    ] {
        assert_eq!(find(&name, &certificate).as_deref(), Ok(subject), "{name:?}");
    }
}

#[test]
fn missing_name_is_rejected_although_there_is_a_common_name() {
    for name in [
        CertificateName::Dns,
        CertificateName::Uri,
        CertificateName::Email,
        CertificateName::spiffe("prod.example"),
    ] {
        let result = find(&name, &TestCertificate::new());
        assert_eq!(result, Err(CertificateFault::NoName), "{name:?}");
    }
}

#[test]
fn two_names_of_the_chosen_type_are_rejected() {
    let certificate = TestCertificate::new()
        .email("a@example.com")
        .email("b@example.com")
        .dns("a.example")
        .dns("*.example")
        .uri("spiffe://prod.example/a")
        .uri("urn:a");
    for name in [
        CertificateName::Dns,
        CertificateName::Uri,
        CertificateName::Email,
        CertificateName::spiffe("prod.example"),
    ] {
        let result = find(&name, &certificate);
        assert_eq!(result, Err(CertificateFault::SeveralNames), "{name:?}");
    }
}

#[test]
fn dns_names_are_names_of_one_host() {
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
    for name in ["a", "orders.internal", "xn--bcher-kva.example", "_a.b-c.1", &longest] {
        assert_eq!(dns(name).as_deref(), Ok(name));
    }
    let too_long = format!("{longest}a");
    let long_label = "a".repeat(64);
    for name in [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "*",
        "*.example",
        "a*.example",
        "a.example\0.evil.example",
        "a b",
        "a\n",
        "a:443",
        "a/b",
        "a@b",
        "b\u{fc}cher.example",
        &too_long,
        &long_label,
    ] {
        assert_eq!(dns(name), Err(CertificateFault::InvalidName), "{name:?}");
    }
}

#[test]
fn uris_are_absolute_and_kept_as_they_are() {
    let uri = |uri: &str| find(&CertificateName::Uri, &TestCertificate::new().uri(uri));
    let longest = format!("a:{}", "b".repeat(2046));
    for text in ["urn:example:A", "https://A.example/?x#y", "a+b-1.c:x", &longest] {
        assert_eq!(uri(text).as_deref(), Ok(text));
    }
    let too_long = format!("{longest}b");
    for text in
        ["", "a", ":", "a:", ":a", "1a:b", "a b:c", "a:b c", "a:b\0", "a:b\u{7f}", &too_long]
    {
        assert_eq!(uri(text), Err(CertificateFault::InvalidName), "{text:?}");
    }
}

#[test]
fn email_addresses_have_one_at_sign_and_are_kept_as_they_are() {
    let email =
        |address: &str| find(&CertificateName::Email, &TestCertificate::new().email(address));
    let longest = format!("a@{}", "b".repeat(252));
    for address in ["Ops@Example.com", "a+b.c@d", &longest] {
        assert_eq!(email(address).as_deref(), Ok(address));
    }
    let too_long = format!("{longest}b");
    for address in ["", "a", "@", "a@", "@b", "a@b@c", "a@@b", "a b@c", "a@b\0", "a@b\n", &too_long]
    {
        assert_eq!(email(address), Err(CertificateFault::InvalidName), "{address:?}");
    }
}

#[test]
fn spiffe_id_must_belong_to_one_of_the_trust_domains() {
    let name = CertificateName::spiffe(["prod.example", "stage.example"]);
    let id = |id: &str| find(&name, &TestCertificate::new().uri(id));
    assert!(id("spiffe://prod.example/a").is_ok());
    assert!(id("spiffe://stage.example/a").is_ok());
    for other in ["spiffe://example/a", "spiffe://prod.example.evil/a", "spiffe://x.prod.example/a"]
    {
        assert_eq!(id(other), Err(CertificateFault::OtherTrustDomain), "{other}");
    }
    for invalid in ["https://prod.example/a", "spiffe://prod.example", "spiffe://prod.example/"] {
        assert_eq!(id(invalid), Err(CertificateFault::InvalidName), "{invalid}");
    }
}

#[test]
fn spiffe_id_of_a_key_that_may_sign_certificates_is_rejected() {
    let svid = TestCertificate::new().uri("spiffe://prod.example/a");
    let name = CertificateName::spiffe("prod.example");
    assert!(find(&name, &svid.clone().key_usage(0b1000_0000)).is_ok());
    for bits in [0b1000_0100, 0b1000_0010] {
        let result = find(&name, &svid.clone().key_usage(bits));
        assert_eq!(result, Err(CertificateFault::SigningKey), "{bits:b}");
        assert!(find(&CertificateName::Uri, &svid.clone().key_usage(bits)).is_ok());
    }
}

#[test]
fn malformed_trust_domains_are_configuration_errors() {
    assert!(CertificateName::Dns.validate().is_ok());
    assert!(CertificateName::spiffe(["prod.example", "a_b"]).validate().is_ok());
    let error = CertificateName::spiffe([""; 0]).validate().unwrap_err();
    assert!(error.to_string().contains("no trust domain"), "{error}");
    for domain in ["", "Prod.example", "spiffe://prod.example", "a/b", "a:1", "*.example"] {
        let error = CertificateName::spiffe(["a", domain]).validate().unwrap_err();
        assert!(error.to_string().contains("not a trust domain"), "{error}");
    }
}
