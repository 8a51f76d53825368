use super::*;
use crate::mtls::test_certificate::{
    BASIC_CONSTRAINTS, EXTENDED_KEY_USAGE, KEY_USAGE, NOT_AFTER, NOT_BEFORE, SUBJECT_ALT_NAME,
    TestCertificate, at, tlv,
};

const SERVER_AUTH: &str = "1.3.6.1.5.5.7.3.1";
const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";
const ANY: &str = "2.5.29.37.0";

fn certificate() -> TestCertificate {
    TestCertificate::new().dns("a.example")
}

fn parse(certificate: &TestCertificate) -> Result<ParsedCertificate, CertificateFault> {
    ParsedCertificate::parse(&certificate.der())
}

fn fault(certificate: &TestCertificate) -> Option<CertificateFault> {
    parse(certificate).err()
}

#[test]
fn names_and_validity_are_read() {
    let parsed = parse(&certificate()).unwrap();
    assert_eq!(&**parsed.names.dns_names.only().unwrap(), "a.example");
    assert_eq!((parsed.not_before, parsed.not_after), (at(NOT_BEFORE), at(NOT_AFTER)));
    assert!(!parsed.has_signing_key);
    let parsed = parse(&TestCertificate::new()).unwrap();
    assert!(parsed.names.dns_names.only().is_err());
}

#[test]
fn validity_starts_with_not_before_and_ends_with_not_after() {
    let parsed = parse(&certificate()).unwrap();
    for (now, expected) in [
        (0, Err(CertificateFault::NotYetValid)),
        (NOT_BEFORE - 1, Err(CertificateFault::NotYetValid)),
        (NOT_BEFORE, Ok(())),
        (NOT_AFTER - 1, Ok(())),
        (NOT_AFTER, Err(CertificateFault::Expired)),
        (NOT_AFTER + 1, Err(CertificateFault::Expired)),
    ] {
        assert_eq!(parsed.check_validity(at(now)), expected, "{now}");
    }
}

#[test]
fn certificate_of_an_authority_is_rejected() {
    assert_eq!(fault(&certificate().ca(false)), None);
    assert_eq!(fault(&certificate().ca(true)), Some(CertificateFault::Authority));
}

#[test]
fn keys_that_may_sign_certificates_or_lists_are_marked() {
    for (bits, expected) in
        [(0b1000_0000, false), (0b0000_0100, true), (0b0000_0010, true), (0b1111_1001, false)]
    {
        let parsed = parse(&certificate().key_usage(bits)).unwrap();
        assert_eq!(parsed.has_signing_key, expected, "{bits:b}");
    }
    // Empty, with nine bits, and with bits that are declared as unused.
    for (value, expected) in [
        (&[3, 1, 0][..], false),
        (&[3, 3, 7, 0, 0x80], false),
        (&[3, 3, 7, 4, 0x80], true),
        (&[3, 2, 7, 0x84], true),
        (&[3, 2, 7, 0x82], true),
    ] {
        let parsed = parse(&certificate().extension(KEY_USAGE, value)).unwrap();
        assert_eq!(parsed.has_signing_key, expected, "{value:x?}");
    }
}

#[test]
fn extended_key_usage_must_contain_client_auth() {
    for (usages, expected) in [
        (&[CLIENT_AUTH][..], None),
        (&[SERVER_AUTH, CLIENT_AUTH], None),
        (&[ANY], None),
        (&[SERVER_AUTH], Some(CertificateFault::NotForClients)),
        (&[], Some(CertificateFault::NotForClients)),
    ] {
        assert_eq!(fault(&certificate().extended_key_usage(usages)), expected, "{usages:?}");
    }
}

#[test]
fn repeated_extensions_are_rejected() {
    let repeated = Some(CertificateFault::RepeatedExtension);
    let names = tlv(0x30, &tlv(0x82, b"b.example"));
    assert_eq!(fault(&certificate().extension(SUBJECT_ALT_NAME, &names)), repeated);
    assert_eq!(fault(&certificate().ca(false).ca(false)), repeated);
    assert_eq!(fault(&certificate().key_usage(128).key_usage(128)), repeated);
    let usages = &[CLIENT_AUTH];
    let certificate = certificate().extended_key_usage(usages).extended_key_usage(usages);
    assert_eq!(fault(&certificate), repeated);
}

#[test]
fn malformed_extensions_are_rejected() {
    for id in [SUBJECT_ALT_NAME, KEY_USAGE, BASIC_CONSTRAINTS, EXTENDED_KEY_USAGE] {
        for value in [&[][..], &[0x30], &[0x30, 1, 0xff], &[5, 0, 0], &[0xff; 9]] {
            let certificate = TestCertificate::new().extension(id, value);
            assert_eq!(fault(&certificate), Some(CertificateFault::Malformed), "{id} {value:x?}");
        }
    }
    let with_trailing_byte = [tlv(0x30, &tlv(0x82, b"b.example")), vec![0]].concat();
    let with_trailing_byte =
        TestCertificate::new().extension(SUBJECT_ALT_NAME, &with_trailing_byte);
    assert_eq!(fault(&with_trailing_byte), Some(CertificateFault::Malformed));
    // Extensions that are not read are not parsed.
    assert_eq!(fault(&certificate().extension("1.2.3", &[0xff])), None);
}

#[test]
fn every_truncation_and_trailing_bytes_are_rejected() {
    let der = certificate().ca(false).key_usage(128).der();
    assert!(ParsedCertificate::parse(&der).is_ok());
    for end in 0..der.len() {
        let fault = ParsedCertificate::parse(&der[..end]).unwrap_err();
        assert_eq!(fault, CertificateFault::Malformed, "{end}");
    }
    for trailing in [&[0][..], b"\n", &der] {
        let fault = ParsedCertificate::parse(&[&der, trailing].concat()).unwrap_err();
        assert_eq!(fault, CertificateFault::Malformed);
    }
}

/// No change of one byte causes a panic.
#[test]
fn changed_bytes_cause_no_panic() {
    let certificate = certificate().ca(false).key_usage(128).extended_key_usage(&[CLIENT_AUTH]);
    let der = certificate.der();
    for index in 0..der.len() {
        for byte in 0..=255 {
            let mut changed = der.clone();
            changed[index] = byte;
            _ = ParsedCertificate::parse(&changed);
        }
    }
}

#[test]
fn certificates_above_64_kib_are_not_parsed() {
    let padded = |len: usize| {
        let small = certificate().extension("1.2.3", &vec![0; 60_000]).der();
        let missing = len.checked_sub(small.len()).unwrap();
        certificate().extension("1.2.3", &vec![0; 60_000 + missing]).der()
    };
    assert_eq!(padded(MAX_CERTIFICATE_BYTES).len(), MAX_CERTIFICATE_BYTES);
    assert!(ParsedCertificate::parse(&padded(MAX_CERTIFICATE_BYTES)).is_ok());
    let fault = ParsedCertificate::parse(&padded(MAX_CERTIFICATE_BYTES + 1)).unwrap_err();
    assert_eq!(fault, CertificateFault::TooLarge);
}
