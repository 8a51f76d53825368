//! Identifies callers by any bytes as their certificate. If one is accepted, and another parser
//! accepts it as well, that finds the same name, and no second one of the same type.
//!
//! The input is the certificate in DER.
#![no_main]

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use libfuzzer_sys::fuzz_target;
use tower_auth::{
    RejectionKind,
    mtls::{CertificateAuth, CertificateName, ClientCertificate, PeerCertificate},
};
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

const NOW: u64 = 1_900_000_000;

static AUTHENTICATORS: LazyLock<[CertificateAuth; 4]> = LazyLock::new(|| {
    let names = [
        CertificateName::Dns,
        CertificateName::Uri,
        CertificateName::Email,
        CertificateName::spiffe("prod.example"),
    ];
    names.map(|name| {
        CertificateAuth::builder(ClientCertificate::connection())
            .subject_from(name)
            .clock(|| now())
            .build()
            .unwrap()
    })
});

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

/// Returns the names of each type.
fn names<'a>(certificate: &'a X509Certificate<'_>) -> [Vec<&'a str>; 3] {
    let mut names: [Vec<&str>; 3] = Default::default();
    for extension in certificate.extensions() {
        if let ParsedExtension::SubjectAlternativeName(list) = extension.parsed_extension() {
            for name in &list.general_names {
                match name {
                    GeneralName::DNSName(name) => names[0].push(name),
                    GeneralName::URI(uri) => names[1].push(uri),
                    GeneralName::RFC822Name(address) => names[2].push(address),
                    _ => {}
                }
            }
        }
    }
    names
}

fuzz_target!(|der: &[u8]| {
    let certificate = PeerCertificate::from_der(der);
    for (index, authenticator) in AUTHENTICATORS.iter().enumerate() {
        let caller = match authenticator.verify(&certificate) {
            Ok(caller) => caller,
            Err(rejection) => {
                assert_eq!(rejection.kind(), RejectionKind::InvalidCredentials);
                continue;
            }
        };
        assert!(caller.expires_at().unwrap() > now());
        // The other parser also checks parts that are not read, such as the form of the signature.
        let Ok((rest, parsed)) = X509Certificate::from_der(der) else { continue };
        assert!(rest.is_empty());
        assert!(!parsed.is_ca());
        let names = names(&parsed);
        let subject = caller.subject();
        match (index, &names) {
            (0, [names, ..]) => {
                assert!(matches!(names[..], [name] if name.eq_ignore_ascii_case(subject)));
                assert!(!subject.contains('*') && *subject == subject.to_ascii_lowercase());
            }
            (1, [_, names, _]) => assert_eq!(names[..], [subject]),
            (2, [.., names]) => {
                assert_eq!(names[..], [subject]);
                assert_eq!(subject.matches('@').count(), 1);
            }
            (_, [_, names, _]) => {
                assert_eq!(names[..], [subject]);
                assert!(subject.starts_with("spiffe://prod.example/"));
                if let Ok(Some(usage)) = parsed.key_usage() {
                    assert!(!usage.value.key_cert_sign() && !usage.value.crl_sign());
                }
            }
        }
    }
});
