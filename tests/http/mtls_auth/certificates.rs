//! Which certificates identify a caller.

use std::{error::Error as _, time::SystemTime};

use tower_auth::{
    RejectionKind, Scheme,
    mtls::{CertificateAuth, CertificateName, ClientCertificate, PeerCertificate},
    test_util::TestClock,
};

use super::pki::{Issued, Pki};

fn auth(name: CertificateName) -> CertificateAuth {
    CertificateAuth::builder(ClientCertificate::connection()).subject_from(name).build().unwrap()
}

/// Returns the subject, or the reason of the rejection.
fn identify(name: CertificateName, certificate: &PeerCertificate) -> Result<String, String> {
    match auth(name).verify(certificate) {
        Ok(caller) => {
            assert_eq!(caller.scheme(), Scheme::CERTIFICATE);
            Ok(caller.subject().to_owned())
        }
        Err(rejection) => {
            assert_eq!(rejection.kind(), RejectionKind::InvalidCredentials);
            Err(rejection.source().unwrap().to_string())
        }
    }
}

#[track_caller]
fn assert_rejected(name: CertificateName, certificate: &PeerCertificate, reason: &str) {
    let error = identify(name, certificate).unwrap_err();
    assert!(error.contains(reason), "{error}");
}

#[test]
fn each_type_of_name_becomes_the_subject() {
    let Some(pki) = Pki::new() else { return };
    let certificate = pki
        .client("DNS:Batch.Internal,URI:spiffe://prod.example/batch,email:Ops@example.com,IP:::1");
    for (name, subject) in [
        (CertificateName::Dns, "batch.internal"),
        (CertificateName::Uri, "spiffe://prod.example/batch"),
        (CertificateName::spiffe(["prod.example"]), "spiffe://prod.example/batch"),
        (CertificateName::Email, "Ops@example.com"),
    ] {
        assert_eq!(identify(name, &certificate.peer()).as_deref(), Ok(subject));
    }
}

#[test]
fn several_names_and_common_names_identify_nobody() {
    let Some(pki) = Pki::new() else { return };
    let two = pki.client("URI:urn:a,URI:urn:b,DNS:a.example,DNS:b.example").peer();
    assert_rejected(CertificateName::Uri, &two, "several subject alternative names");
    assert_rejected(CertificateName::Dns, &two, "several subject alternative names");
    let two_ids = pki.client("URI:spiffe://prod.example/a,URI:urn:b").peer();
    assert_rejected(CertificateName::spiffe("prod.example"), &two_ids, "several");
    let none = pki.issue("orders.internal", &["keyUsage=digitalSignature"]).peer();
    let none_of_type = pki.client("IP:127.0.0.1").peer();
    for name in [CertificateName::Dns, CertificateName::Uri, CertificateName::Email] {
        assert_rejected(name.clone(), &none, "no subject alternative name");
        assert_rejected(name, &none_of_type, "no subject alternative name");
    }
}

#[test]
fn wildcards_are_not_names_of_callers() {
    let Some(pki) = Pki::new() else { return };
    let wildcard = pki.client("DNS:*.internal").peer();
    assert_rejected(CertificateName::Dns, &wildcard, "wildcard");
}

#[test]
fn certificates_with_another_purpose_are_rejected() {
    let Some(pki) = Pki::new() else { return };
    let names = "subjectAltName=URI:spiffe://prod.example/a";
    let issue = |extension: &str| pki.issue("a", &[names, extension]).peer();
    let spiffe = || CertificateName::spiffe("prod.example");
    for (extension, reason) in [
        ("basicConstraints=critical,CA:TRUE", "authority"),
        ("keyUsage=critical,digitalSignature,keyCertSign", "may sign certificates"),
        ("keyUsage=critical,digitalSignature,cRLSign", "may sign certificates"),
        ("extendedKeyUsage=serverAuth", "clientAuth"),
        ("extendedKeyUsage=codeSigning,timeStamping", "clientAuth"),
    ] {
        assert_rejected(spiffe(), &issue(extension), reason);
    }
    for extension in [
        "basicConstraints=critical,CA:FALSE",
        "keyUsage=critical,digitalSignature,keyAgreement",
        "extendedKeyUsage=serverAuth,clientAuth",
        "extendedKeyUsage=anyExtendedKeyUsage",
    ] {
        let subject = identify(spiffe(), &issue(extension));
        assert_eq!(subject.as_deref(), Ok("spiffe://prod.example/a"), "{extension}");
    }
    // The certificate of the authority itself.
    let authority = Issued { certificate: pki.ca.clone(), key: String::new() }.peer();
    assert_rejected(CertificateName::Dns, &authority, "authority");
}

#[test]
fn spiffe_ids_of_workloads_in_the_trust_domain_are_accepted() {
    let Some(pki) = Pki::new() else { return };
    for (uri, reason) in [
        ("spiffe://prod.example/ns/a/sa/b", None),
        ("spiffe://prod.example", Some("malformed")),
        ("spiffe://prod.example/", Some("malformed")),
        ("spiffe://prod.example/a/", Some("malformed")),
        ("spiffe://prod.example/a/../b", Some("malformed")),
        ("spiffe://prod.example:443/a", Some("malformed")),
        ("spiffe://root@prod.example/a", Some("malformed")),
        ("spiffe://prod.example/a?b=c", Some("malformed")),
        ("spiffe://prod.example/%61", Some("malformed")),
        ("spiffe://PROD.example/a", Some("malformed")),
        ("https://prod.example/a", Some("malformed")),
        ("spiffe://test.example/a", Some("another trust domain")),
        ("spiffe://prod.example.evil.example/a", Some("another trust domain")),
    ] {
        let certificate = pki.client(&format!("URI:{uri}")).peer();
        match reason {
            None => {
                let subject = identify(CertificateName::spiffe("prod.example"), &certificate);
                assert_eq!(subject.as_deref(), Ok(uri));
            }
            Some(reason) => {
                assert_rejected(CertificateName::spiffe("prod.example"), &certificate, reason);
            }
        }
    }
}

#[test]
fn certificate_is_valid_until_not_after() {
    let Some(pki) = Pki::new() else { return };
    let certificate = pki.client("DNS:a.example").peer();
    let clock = TestClock::at(SystemTime::now());
    let auth = CertificateAuth::builder(ClientCertificate::connection())
        .subject_from(CertificateName::Dns)
        .clock(clock.clone())
        .build()
        .unwrap();
    let end = auth.verify(&certificate).unwrap().expires_at().unwrap();
    let reason = |now| {
        clock.set(now);
        auth.verify(&certificate).err().map(|error| error.source().unwrap().to_string())
    };
    let second = std::time::Duration::from_secs(1);
    assert_eq!(reason(end - second), None);
    assert_eq!(reason(end).as_deref(), Some("the certificate has expired"));
    let start = end - second * 2 * 24 * 3600;
    assert_eq!(reason(start), None);
    assert_eq!(reason(start - second).as_deref(), Some("the certificate is not valid yet"));
}

#[test]
fn hostile_bytes_are_rejected() {
    let Some(pki) = Pki::new() else { return };
    let der = pki.client("DNS:a.example").der();
    let reject = |der: Vec<u8>, reason: &str| {
        assert_rejected(CertificateName::Dns, &PeerCertificate::from_der(der), reason);
    };
    reject(Vec::new(), "DER");
    reject(b"garbage".to_vec(), "DER");
    reject([&der[..], &[0]].concat(), "DER");
    reject([&der[..], &der].concat(), "DER");
    reject(der[..der.len() - 1].to_vec(), "DER");
    reject([&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &der[..]].concat(), "DER");
    reject(vec![0x30; 60_000], "DER");
    // PEM is not DER.
    reject(pki.ca.into_bytes(), "DER");
    reject(vec![0; 1024 * 1024], "64 KiB");
}

#[test]
fn many_names_are_rejected() {
    let Some(pki) = Pki::new() else { return };
    let names = |count| {
        let names: Vec<_> = (1..=count).map(|index| format!("IP:10.0.{}.1", index % 256)).collect();
        pki.client(&format!("DNS:a.example,{}", names.join(","))).peer()
    };
    assert_eq!(identify(CertificateName::Dns, &names(63)).as_deref(), Ok("a.example"));
    assert_rejected(CertificateName::Dns, &names(64), "more than 64");
    // 1 MiB of names.
    let long = format!("URI:urn:{}", "a".repeat(16 * 1024));
    let certificate = pki.client(&vec![&*long; 64].join(",")).peer();
    assert!(certificate.der().len() > 1024 * 1024);
    assert_rejected(CertificateName::Dns, &certificate, "64 KiB");
}
