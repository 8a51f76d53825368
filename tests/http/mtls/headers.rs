//! Certificates in the headers of proxies.

use std::{error::Error as _, net::IpAddr};

use http::{HeaderValue, Request, request::Parts};
use tower_auth::{
    ConfigError, ConfigErrorKind, Rejection, RejectionKind,
    mtls::{ClientCertificate, PeerCertificate},
};
use tower_auth_test_support::{
    api::{Api, Issuer, Reply},
    raw, skip,
};

use super::{
    INVALID_REQUEST, INVALID_TOKEN, app, bound_token, builder, client_cert, der, escaped_pem, xfcc,
};

const FORMATS: [Format; 3] = [
    Format {
        header: "client-cert",
        encode: client_cert,
        source: ClientCertificate::client_cert_header,
    },
    Format {
        header: "x-forwarded-client-cert",
        encode: xfcc,
        source: ClientCertificate::envoy_xfcc,
    },
    Format {
        header: "x-client-cert",
        encode: escaped_pem,
        source: |proxies| ClientCertificate::escaped_pem_header("x-client-cert", proxies),
    },
];

struct Format {
    header: &'static str,
    encode: fn(&[u8]) -> String,
    source: fn(&'static str) -> Result<ClientCertificate, ConfigError>,
}

impl Format {
    fn from(&self, proxies: &'static str) -> ClientCertificate {
        (self.source)(proxies).unwrap()
    }

    fn head(&self, values: &[&str]) -> Parts {
        let mut head = Request::new(()).into_parts().0;
        for value in values {
            head.headers.append(self.header, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        head
    }

    /// Passes a head with these values to the source, as sent by a trusted proxy.
    fn find(&self, values: &[&str]) -> Result<Option<PeerCertificate>, Rejection> {
        let source = self.from("10.0.0.0/8").peer(|_| Some(IpAddr::from([10, 0, 0, 1])));
        source.find(&self.head(values))
    }

    fn assert_malformed(&self, values: &[&str], reason: &str) {
        let rejection = self.find(values).unwrap_err();
        assert_eq!(rejection.kind(), RejectionKind::MalformedRequest, "{}", self.header);
        let found = rejection.source().unwrap().to_string();
        assert!(found.contains(reason), "{found}");
    }
}

#[tokio::test]
async fn certificate_is_read_from_a_trusted_proxy_and_hidden_from_the_service() {
    let (issuer, certificate) = (Issuer::new(), der(900));
    let (bound, other) = (bound_token(&issuer, &certificate), bound_token(&issuer, b"other"));
    for format in FORMATS {
        let tokens = builder(&issuer, format.from("127.0.0.1")).build().unwrap();
        let api = Api::serve_with_addresses(app(tokens)).await;
        let value = (format.encode)(&certificate);
        let get = async |token: &str, value: &str| {
            Reply::to(api.get("/").bearer_auth(token).header(format.header, value)).await
        };
        let reply = get(&bound, &value).await;
        assert_eq!((reply.status.as_u16(), &*reply.body), (200, "user-1 []"), "{}", format.header);
        // The header is hidden even if the token is not bound, and the value is not read.
        let reply = get(&issuer.token(), "garbage").await;
        assert_eq!((reply.status.as_u16(), &*reply.body), (200, "user-1 []"), "{}", format.header);
        for rejected in [get(&other, &value).await, get(&bound, "").await] {
            assert_eq!(rejected.status, 401, "{}", format.header);
            assert_eq!(rejected.challenges(), [INVALID_TOKEN]);
        }
        let malformed = get(&bound, "garbage").await;
        assert_eq!(malformed.status, 400, "{}", format.header);
        assert_eq!(malformed.challenges(), [INVALID_REQUEST]);
    }
}

#[tokio::test]
async fn chain_is_removed_together_with_the_certificate_of_rfc_9440() {
    let issuer = Issuer::new();
    let tokens = builder(&issuer, FORMATS[0].from("127.0.0.1")).build().unwrap();
    let api = Api::serve_with_addresses(app(tokens)).await;
    let request = api.get("/").bearer_auth(issuer.token()).header("client-cert-chain", ":MAA=:");
    let reply = Reply::to(request.header("client-cert", "::")).await;
    assert_eq!((reply.status.as_u16(), &*reply.body), (200, "user-1 []"));
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_header_of_an_untrusted_peer_has_no_effect() {
    if !cfg!(target_os = "linux") {
        return skip("other systems have one loopback address");
    }
    let (issuer, certificate) = (Issuer::new(), der(900));
    let bound = bound_token(&issuer, &certificate);
    for format in FORMATS {
        let tokens = builder(&issuer, format.from("127.0.0.2")).build().unwrap();
        let api = Api::serve_with_addresses(app(tokens.clone())).await;
        // Without `ConnectInfo`, the peer is unknown.
        let without_addresses = Api::serve(app(tokens)).await;
        let valid = (format.encode)(&certificate);
        for value in [&*valid, "garbage", &"A".repeat(200_000)] {
            for api in [&api, &without_addresses] {
                let get = |token: &str| {
                    let forged_address = ("x-forwarded-for", "127.0.0.2");
                    let headers = [
                        ("authorization", &*format!("Bearer {token}")),
                        (format.header, value),
                        (format.header, value),
                        forged_address,
                    ];
                    raw::get(&api.address, "/", &headers)
                };
                let rejected = get(&bound);
                assert_eq!(rejected.status, 401, "{}", format.header);
                assert_eq!(rejected.header("www-authenticate"), INVALID_TOKEN);
                let accepted = get(&issuer.token());
                assert_eq!((accepted.status, &*accepted.body), (200, "user-1 []"));
            }
        }
    }
}

#[test]
fn peer_is_compared_in_its_canonical_form() {
    let certificate = der(900);
    for format in FORMATS {
        let head = format.head(&[&(format.encode)(&certificate)]);
        let find_from = |peer: Option<&str>| {
            let peer = peer.map(|address| address.parse::<IpAddr>().unwrap());
            format.from("10.0.0.0/8").peer(move |_| peer).find(&head).unwrap()
        };
        for trusted in ["10.0.0.1", "10.255.0.1", "::ffff:10.0.0.1"] {
            assert_eq!(find_from(Some(trusted)).unwrap().der(), certificate, "{trusted}");
        }
        for other in ["11.0.0.1", "::1", "::ffff:11.0.0.1"] {
            assert!(find_from(Some(other)).is_none(), "{other}");
        }
        assert!(find_from(None).is_none());
        assert!(format.from("10.0.0.0/8").find(&head).unwrap().is_none());
    }
}

#[test]
fn repeated_header_of_a_proxy_is_malformed() {
    for format in FORMATS {
        let value = (format.encode)(&der(900));
        for values in [[&*value, &*value], [&*value, ""], ["", &*value], ["", ""]] {
            format.assert_malformed(&values, "is repeated");
        }
        let certificate = format.find(&[&format!(" {value}\t")]).unwrap().unwrap();
        assert_eq!(certificate.der(), der(900));
    }
}

#[test]
fn missing_or_empty_header_is_no_certificate() {
    for format in FORMATS {
        for values in [&[][..], &[""], &[" \t"]] {
            assert!(format.find(values).unwrap().is_none(), "{} {values:?}", format.header);
        }
    }
}

#[test]
fn certificates_up_to_64_kib_are_read_and_headers_above_128_kib_are_malformed() {
    for format in FORMATS {
        let largest = (format.encode)(&der(64 * 1024));
        assert_eq!(format.find(&[&largest]).unwrap().unwrap().der(), der(64 * 1024));
        let too_large = (format.encode)(&der(64 * 1024 + 1));
        let rejection = format.find(&[&too_large]).unwrap_err();
        assert_eq!(rejection.kind(), RejectionKind::InvalidCredentials);
        for bytes in [128 * 1024 + 1, 1 << 20] {
            format.assert_malformed(&[&"A".repeat(bytes)], "longer than 128 KiB");
            format.assert_malformed(&[&(format.encode)(&der(bytes))], "longer than 128 KiB");
        }
        format.assert_malformed(&[&"A".repeat(128 * 1024)], "is not");
    }
}

#[test]
fn unreadable_values_are_malformed() {
    let certificate = der(900);
    for format in FORMATS {
        let value = (format.encode)(&certificate);
        let others = FORMATS.iter().filter(|other| other.header != format.header);
        for other in others {
            format.assert_malformed(&[&(other.encode)(&certificate)], "is not");
        }
        for unreadable in [
            format!("{value}A"),
            format!("\"{value}"),
            format!("{value}{value}"),
            value[..value.len() / 2].to_owned(),
            value.replace("%2B", "%2b%00").replacen('v', "\u{e9}", 1),
        ] {
            format.assert_malformed(&[&unreadable], "is not");
        }
    }
}

#[test]
fn faults_of_the_configuration_are_errors() {
    let kind = |source: Result<ClientCertificate, ConfigError>| source.unwrap_err().kind();
    for format in FORMATS {
        for networks in ["0.0.0.0/0", "proxy", ""] {
            assert_eq!(kind((format.source)(networks)), ConfigErrorKind::Invalid, "{networks}");
        }
    }
    let none = ClientCertificate::envoy_xfcc([""; 0]);
    assert_eq!(kind(none), ConfigErrorKind::Missing);
    let name = ClientCertificate::escaped_pem_header("x client cert", "10.0.0.0/8").unwrap_err();
    assert_eq!(name.kind(), ConfigErrorKind::Invalid);
    assert!(name.to_string().contains("client certificate"), "{name}");
}
