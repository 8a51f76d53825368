use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Method, Request, request};

use super::*;
use crate::{
    authenticate::any_of,
    header::Challenge,
    mtls::{
        CertificateName,
        test_certificate::{NOT_AFTER, NOT_BEFORE, TestCertificate, at},
    },
    test_util::TestClock,
    transport::forwarded::Forwarded,
};

fn builder() -> CertificateAuthBuilder {
    CertificateAuth::builder(ClientCertificate::connection())
        .subject_from(CertificateName::Dns)
        .clock(TestClock::at(at(NOT_BEFORE)))
}

fn batch() -> PeerCertificate {
    PeerCertificate::from_der(TestCertificate::new().dns("batch.internal").der())
}

fn head(request: request::Builder) -> Parts {
    request.body(()).unwrap().into_parts().0
}

fn with(certificate: &PeerCertificate) -> Parts {
    head(Request::builder().extension(certificate.clone()))
}

fn authenticate(auth: &impl Authenticator, head: &Parts) -> Result<Principal, Rejection> {
    auth.authenticate(head).unwrap().into_ready().ok().unwrap().into_result()
}

fn fault(result: Result<Principal, Rejection>) -> Option<CertificateFault> {
    let rejection = result.err()?;
    assert_eq!(rejection.kind(), RejectionKind::InvalidCredentials);
    assert_eq!(rejection.scheme(), Some(Scheme::CERTIFICATE));
    let source = std::error::Error::source(&rejection);
    source.and_then(|source| source.downcast_ref().copied())
}

#[test]
fn certificate_becomes_a_principal() {
    let auth = builder().issuer("https://ca.example").realm("orders").build().unwrap();
    let certificate = batch();
    let caller = authenticate(&auth, &with(&certificate)).unwrap();
    assert_eq!((caller.subject(), caller.scheme()), ("batch.internal", Scheme::CERTIFICATE));
    assert_eq!(caller.issuer(), Some("https://ca.example"));
    assert_eq!(caller.expires_at(), Some(at(NOT_AFTER)));
    assert!(caller.scopes().is_empty());
    assert_eq!(caller.extension::<PeerCertificate>(), Some(&certificate));
    let challenge = Challenge::new(Scheme::CERTIFICATE).with_param("realm", "orders").unwrap();
    assert_eq!(caller.challenge(), Some(&challenge));
    assert_eq!(auth.challenges(&with(&certificate)), challenge.into());
    let auth = builder().build().unwrap();
    assert_eq!(authenticate(&auth, &with(&certificate)).unwrap().issuer(), None);
}

#[test]
fn request_without_a_certificate_has_no_credentials() {
    let auth = builder().build().unwrap();
    assert!(auth.authenticate(&head(Request::builder())).is_none());
    // Another site cannot cause a rejection other than 401.
    let cross_site = Request::builder().method(Method::POST).header("sec-fetch-site", "cross-site");
    assert!(auth.authenticate(&head(cross_site)).is_none());
}

#[test]
fn certificate_is_checked_at_the_time_of_each_request() {
    let clock = TestClock::at(at(NOT_BEFORE - 1));
    let auth = builder().clock(clock.clone()).build().unwrap();
    let head = with(&batch());
    let at_time = |now: u64| {
        clock.set(at(now));
        fault(authenticate(&auth, &head))
    };
    assert_eq!(at_time(NOT_BEFORE - 1), Some(CertificateFault::NotYetValid));
    assert_eq!(at_time(NOT_BEFORE), None);
    assert_eq!(at_time(NOT_AFTER - 1), None);
    assert_eq!(at_time(NOT_AFTER), Some(CertificateFault::Expired));
    assert_eq!(at_time(NOT_BEFORE), None);
}

#[test]
fn invalid_certificates_are_rejected_each_time() {
    let auth = builder().build().unwrap();
    for (der, expected) in [
        (Vec::new(), CertificateFault::Malformed),
        (vec![0xff; 100], CertificateFault::Malformed),
        (TestCertificate::new().der(), CertificateFault::NoName),
        (TestCertificate::new().dns("a").dns("b").der(), CertificateFault::SeveralNames),
        (TestCertificate::new().dns("*.a").der(), CertificateFault::InvalidName),
        (TestCertificate::new().dns("a").ca(true).der(), CertificateFault::Authority),
    ] {
        let head = with(&PeerCertificate::from_der(der));
        for _ in 0..2 {
            assert_eq!(fault(authenticate(&auth, &head)), Some(expected));
        }
    }
}

#[test]
fn closure_decides_for_each_request() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let auth = builder()
        .principal(move |caller| match counted.fetch_add(1, Ordering::Relaxed) {
            0 => Some(caller.to_builder().scopes(["orders:read"]).build()),
            _ => None,
        })
        .build()
        .unwrap();
    let head = with(&batch());
    let caller = authenticate(&auth, &head).unwrap();
    assert!(caller.scopes().contains("orders:read"));
    assert_eq!(caller.expires_at(), Some(at(NOT_AFTER)));
    assert!(caller.extension::<PeerCertificate>().is_some());
    assert_eq!(fault(authenticate(&auth, &head)), Some(CertificateFault::UnknownCaller));
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[test]
fn closure_cannot_extend_the_lifetime() {
    for end in [None, Some(at(NOT_AFTER + 1)), Some(at(NOT_AFTER - 1))] {
        let replace = move |_| {
            let other = Principal::builder("other", Scheme::CERTIFICATE);
            Some(match end {
                Some(end) => other.expires_at(end).build(),
                None => other.build(),
            })
        };
        let auth = builder().principal(replace).build().unwrap();
        let caller = authenticate(&auth, &with(&batch())).unwrap();
        assert_eq!(caller.subject(), "other");
        let expected = end.map_or(at(NOT_AFTER), |end| end.min(at(NOT_AFTER)));
        assert_eq!(caller.expires_at(), Some(expected), "{end:?}");
    }
}

#[test]
fn requests_of_a_connection_share_the_principal_without_a_cycle() {
    let auth = builder().build().unwrap();
    let certificate = batch();
    let subject = |caller: &Principal| caller.subject().as_ptr();
    let first = authenticate(&auth, &with(&certificate)).unwrap();
    let second = authenticate(&auth.clone(), &with(&certificate)).unwrap();
    assert_eq!(subject(&first), subject(&second));
    let extension =
        |caller: &Principal| caller.extension::<PeerCertificate>().unwrap().der().as_ptr();
    assert_eq!(extension(&first), extension(&second));
    // A clone would keep itself alive.
    assert_ne!(extension(&first), certificate.der().as_ptr());
}

#[test]
fn authenticators_with_other_settings_do_not_share_the_principal() {
    let der = TestCertificate::new().dns("batch.internal").uri("urn:batch").der();
    let certificate = PeerCertificate::from_der(der);
    let dns = builder().build().unwrap();
    let uri = builder().subject_from(CertificateName::Uri).issuer("ca").build().unwrap();
    for _ in 0..2 {
        assert_eq!(dns.verify(&certificate).unwrap().subject(), "batch.internal");
        let caller = uri.verify(&certificate).unwrap();
        assert_eq!((caller.subject(), caller.issuer()), ("urn:batch", Some("ca")));
    }
    let spiffe = builder().subject_from(CertificateName::spiffe("prod.example")).build().unwrap();
    assert!(spiffe.verify(&certificate).is_err());
}

#[test]
fn verified_certificate_has_the_challenge_in_its_rejection() {
    let auth = builder().realm("orders").build().unwrap();
    let rejection = auth.verify(&PeerCertificate::from_der([])).unwrap_err();
    let challenges: Vec<_> =
        rejection.challenges().map(|challenge| challenge.to_header_value()).collect();
    assert_eq!(challenges, [r#"Certificate realm="orders""#]);
}

#[test]
fn cross_site_requests_are_rejected() {
    let certificate = batch();
    let kind = |auth: &CertificateAuth, request: request::Builder| {
        let result = authenticate(auth, &head(request.extension(certificate.clone())));
        result.err().map(|rejection| {
            assert_eq!(rejection.scheme(), Some(Scheme::CERTIFICATE));
            rejection.kind()
        })
    };
    let auth = builder().build().unwrap();
    let rejected = Some(RejectionKind::CrossSite);
    let post = || Request::post("/");
    assert_eq!(kind(&auth, post()), None);
    assert_eq!(kind(&auth, post().header("sec-fetch-site", "same-origin")), None);
    assert_eq!(kind(&auth, post().header("sec-fetch-site", "cross-site")), rejected);
    assert_eq!(kind(&auth, post().header("origin", "https://evil.example")), rejected);
    let get = || Request::get("/");
    assert_eq!(kind(&auth, get().header("sec-fetch-site", "cross-site")), None);
    assert_eq!(kind(&auth, get().header("upgrade", "websocket")), rejected);

    let from_admin = || post().header("origin", "https://admin.example");
    let auth = builder().trusted_origin("https://admin.example").build().unwrap();
    assert_eq!(kind(&auth, from_admin()), None);
    let auth = builder().dangerous_allow_cross_site().build().unwrap();
    assert_eq!(kind(&auth, from_admin().header("upgrade", "websocket")), None);
    let auth = builder().hosts("app.example").build().unwrap();
    assert_eq!(kind(&auth, get().header("host", "app.example")), None);
    assert_eq!(kind(&auth, get().header("host", "other.example")), rejected);

    let own = || post().header("origin", "https://app.example").header("host", "app.example");
    assert_eq!(kind(&builder().build().unwrap(), own()), rejected);
    let direct = Forwarded::direct().tls().peer(|_| Some([127, 0, 0, 1].into()));
    let auth = builder().forwarded(direct).build().unwrap();
    assert_eq!(kind(&auth, own()), None);
}

/// Otherwise, the response would tell another site something about the certificate.
#[test]
fn cross_site_check_comes_before_the_certificate() {
    let certificate = PeerCertificate::from_der([0xff]);
    let request = Request::post("/").header("sec-fetch-site", "cross-site").extension(certificate);
    let rejection = authenticate(&builder().build().unwrap(), &head(request)).unwrap_err();
    assert_eq!(rejection.kind(), RejectionKind::CrossSite);
}

#[test]
fn header_of_a_proxy_is_read_and_removed() {
    let source = ClientCertificate::client_cert_header("127.0.0.0/8").unwrap();
    let source = source.peer(|head| head.extensions.get().copied());
    let auth = CertificateAuth::builder(source)
        .subject_from(CertificateName::Dns)
        .clock(TestClock::at(at(NOT_BEFORE)))
        .build()
        .unwrap();
    let encoded = {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        format!(":{}:", STANDARD.encode(batch().der()))
    };
    let from = |address: [u8; 4], value: &str| {
        let request = Request::builder().header("client-cert", value);
        head(request.extension(std::net::IpAddr::from(address)))
    };
    let mut proxied = from([127, 0, 0, 1], &encoded);
    assert_eq!(authenticate(&auth, &proxied).unwrap().subject(), "batch.internal");
    auth.conceal(&mut proxied);
    assert!(proxied.headers.is_empty());
    assert!(auth.authenticate(&from([192, 0, 2, 1], &encoded)).is_none());
    let rejection = authenticate(&auth, &from([127, 0, 0, 1], ":?:")).unwrap_err();
    assert_eq!(rejection.kind(), RejectionKind::MalformedRequest);
    assert_eq!(rejection.scheme(), Some(Scheme::CERTIFICATE));
}

#[test]
fn other_scheme_is_tried_only_without_a_certificate() {
    let users = crate::basic::Users::new([("alice", "correct horse")]).unwrap();
    let staff = crate::basic::BasicAuth::new("staff", users).unwrap();
    let either = any_of((builder().build().unwrap(), staff));
    assert!(either.authenticate(&head(Request::builder())).is_none());
    assert_eq!(either.challenges(&head(Request::builder())).iter().count(), 2);
    assert!(authenticate(&either, &with(&PeerCertificate::from_der([]))).is_err());
    assert_eq!(authenticate(&either, &with(&batch())).unwrap().subject(), "batch.internal");
}

#[test]
fn invalid_configurations_are_errors() {
    let error = |builder: CertificateAuthBuilder| builder.build().unwrap_err().to_string();
    let without_name = CertificateAuth::builder(ClientCertificate::connection());
    assert!(error(without_name).contains("subject_from"));
    assert!(error(builder().realm("a\nb")).contains("realm"));
    assert!(error(builder().issuer("")).contains("give its name or remove the call"));
    assert!(error(builder().trusted_origin("admin.example")).contains("trusted_origin"));
    assert!(error(builder().subject_from(CertificateName::spiffe(""))).contains("trust domain"));
    let conflict = builder().trusted_origin("https://a.example").dangerous_allow_cross_site();
    assert!(error(conflict).contains("dangerous_allow_cross_site"));
}
