//! Tokens that are bound to the certificate of the connection.

use axum::extract::Request;
use http::{HeaderValue, header::AUTHORIZATION, request::Parts};
use serde_json::json;
use tower::{Service as _, ServiceExt as _};
use tower_auth::{
    Authenticator as _, Later, Principal, Scheme,
    bearer::{BearerAuth, TokenVerifier, Verification},
    binding::{Binding, Cnf, Confirmation, Evidence},
    jwt::{Issuers, TokenCache},
    mtls::{CertificateBinding, ClientCertificate, PeerCertificate},
};
use tower_auth_test_support::api::Issuer;

use super::{INVALID_TOKEN, app, bound_token, builder, der, thumbprint};

/// Some framework stores the certificates of the connection.
#[derive(Clone)]
struct Connection(Vec<Vec<u8>>);

fn from_connection() -> ClientCertificate {
    ClientCertificate::from_fn(|head| head.extensions.get::<Connection>()?.0.first().cloned())
}

fn request(token: &str, certificate: Option<&[u8]>) -> Request {
    let mut request = Request::default();
    let value = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
    request.headers_mut().insert(AUTHORIZATION, value);
    let certificates = certificate.map(<[u8]>::to_vec);
    if let Some(der) = &certificates {
        request.extensions_mut().insert(PeerCertificate::from(&**der));
    }
    // The second certificate is that of a CA.
    let chain = certificates.into_iter().flat_map(|der| [der, b"ca".to_vec()]).collect();
    request.extensions_mut().insert(Connection(chain));
    request
}

#[tokio::test]
async fn bound_token_is_accepted_only_with_its_certificate_also_from_the_cache() {
    let (issuer, certificate) = (Issuer::new(), der(900));
    let bound = bound_token(&issuer, &certificate);
    for source in [ClientCertificate::connection(), from_connection()] {
        for cache in [None, Some(TokenCache::new(1 << 20))] {
            let mut builder = builder(&issuer, source.clone());
            if let Some(cache) = cache {
                builder = builder.cache(cache);
            }
            let mut app = app(builder.build().unwrap());
            let mut status = async |token: &str, certificate: Option<&[u8]>| {
                let response = app.call(request(token, certificate)).await.unwrap();
                if response.status() == 401 {
                    assert_eq!(response.headers()["www-authenticate"], INVALID_TOKEN);
                }
                response.status().as_u16()
            };
            for _ in 0..3 {
                assert_eq!(status(&bound, Some(&certificate)).await, 200);
                assert_eq!(status(&bound, Some(b"other")).await, 401);
                assert_eq!(status(&bound, Some(b"ca")).await, 401);
                assert_eq!(status(&bound, None).await, 401);
                assert_eq!(status(&issuer.token(), None).await, 200);
                assert_eq!(status(&issuer.token(), Some(b"other")).await, 200);
            }
        }
    }
}

#[tokio::test]
async fn unbound_token_is_rejected_if_a_binding_is_required() {
    let (issuer, certificate) = (Issuer::new(), der(900));
    let tokens = builder(&issuer, ClientCertificate::connection()).require_binding();
    let app = app(tokens.build().unwrap());
    let bound = bound_token(&issuer, &certificate);
    for (token, status) in [(issuer.token(), 401), (bound, 200)] {
        let response = app.clone().oneshot(request(&token, Some(&certificate))).await.unwrap();
        assert_eq!(response.status(), status);
    }
}

#[tokio::test]
async fn token_of_another_binding_is_rejected() {
    let (issuer, certificate) = (Issuer::new(), der(900));
    let app = app(builder(&issuer, ClientCertificate::connection()).build().unwrap());
    let thumbprint = thumbprint(&certificate);
    for cnf in [
        json!({}),
        json!({ "jkt": thumbprint }),
        json!({ "x5t#S256": [thumbprint] }),
        json!({ "x5t": thumbprint }),
    ] {
        let token = issuer.token_with(json!({ "cnf": cnf }));
        let response = app.clone().oneshot(request(&token, Some(&certificate))).await.unwrap();
        assert_eq!(response.status(), 401, "{cnf}");
    }
}

/// A binding that confirms all tokens with `jkt`.
struct AnyJkt;

impl Binding for AnyJkt {
    fn evidence(&self, _: &Parts) -> Option<Evidence> {
        None
    }

    fn confirm(&self, _: &Cnf, _: Option<Evidence>, _: &str) -> Confirmation {
        Confirmation::ready(Ok(()))
    }

    fn members(&self) -> &[&str] {
        &["jkt"]
    }
}

#[tokio::test]
async fn certificate_is_asked_for_only_if_the_token_names_one() {
    let (issuer, certificate) = (Issuer::new(), der(900));
    let tokens = builder(&issuer, ClientCertificate::connection()).binding(AnyJkt);
    let app = app(tokens.build().unwrap());
    let thumbprint = thumbprint(&certificate);
    for (cnf, with_certificate, without) in [
        (json!({ "jkt": "a" }), 200, 200),
        (json!({ "jkt": "a", "x5t#S256": thumbprint }), 200, 401),
        (json!({ "jkt": "a", "x5t#S256": "other" }), 401, 401),
    ] {
        let token = issuer.token_with(json!({ "cnf": cnf }));
        for (sent, status) in [(Some(&certificate[..]), with_certificate), (None, without)] {
            let response = app.clone().oneshot(request(&token, sent)).await.unwrap();
            assert_eq!(response.status(), status, "{cnf}");
        }
    }
}

/// The limit protects what parses the certificate. TLS servers have limits of their own.
#[tokio::test]
async fn certificate_of_a_connection_above_64_kib_is_rejected() {
    let issuer = Issuer::new();
    for source in [ClientCertificate::connection(), from_connection()] {
        let app = app(builder(&issuer, source).build().unwrap());
        for (bytes, status) in [(64 * 1024, 200), (64 * 1024 + 1, 401), (1 << 20, 401)] {
            let certificate = der(bytes);
            let token = bound_token(&issuer, &certificate);
            let response = app.clone().oneshot(request(&token, Some(&certificate))).await.unwrap();
            assert_eq!(response.status(), status, "{bytes}");
        }
    }
}

#[tokio::test]
async fn binding_around_issuers_confirms_their_tokens() {
    let (issuer, certificate) = (Issuer::new(), der(900));
    let bound = bound_token(&issuer, &certificate);
    let issuers = || Issuers::new([issuer.auth()]).unwrap();
    let outer = BearerAuth::new(issuers())
        .binding(CertificateBinding::new(ClientCertificate::connection()));
    let is_accepted = async |tokens: &BearerAuth<_>, certificate: Option<&[u8]>| {
        let head = request(&bound, certificate).into_parts().0;
        tokens.authenticate(&head).unwrap().await.into_result().is_ok()
    };
    assert!(is_accepted(&outer, Some(&certificate)).await);
    assert!(!is_accepted(&outer, Some(b"other")).await);
    assert!(!is_accepted(&outer, None).await);
    // Without the binding:
    assert!(!is_accepted(&BearerAuth::new(issuers()), Some(&certificate)).await);
}

/// A verifier of opaque tokens that are bound to a certificate. It is pending.
struct OpaqueBound(String);

impl TokenVerifier for OpaqueBound {
    fn verify(&self, _: &str) -> Verification {
        let cnf = Cnf::new(&json!({ "x5t#S256": self.0 })).unwrap();
        let caller = Principal::builder("alice", Scheme::BEARER).confirmation(cnf).build();
        Later::pending(async { Ok(caller) })
    }
}

#[tokio::test]
async fn certificate_is_kept_until_a_pending_verifier_has_finished() {
    let certificate = der(900);
    let proxied = ClientCertificate::client_cert_header("10.0.0.0/8").unwrap();
    let proxied = proxied.peer(|_| Some([10, 0, 0, 1].into()));
    for source in [ClientCertificate::connection(), proxied] {
        let tokens = BearerAuth::new(OpaqueBound(thumbprint(&certificate)))
            .binding(CertificateBinding::new(source));
        for (header, sent, status) in [
            (super::client_cert(&certificate), Some(&certificate[..]), 200),
            (super::client_cert(b"other"), Some(b"other"), 401),
            ("::".to_owned(), None, 401),
        ] {
            let mut request = request("opaque", sent);
            request.headers_mut().insert("client-cert", header.parse().unwrap());
            let head = request.into_parts().0;
            let result = tokens.authenticate(&head).unwrap().await.into_result();
            let found = result.map_or_else(|rejection| rejection.kind().status().as_u16(), |_| 200);
            assert_eq!(found, status, "{header}");
        }
    }
}
