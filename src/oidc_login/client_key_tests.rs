//! Client authentication at the token endpoint.

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair as RsaKeyPair, KeySize},
};
use jsonwebtoken::Algorithm;
use serde_json::Value;

use super::{
    OidcLogin,
    authorization_request::LoginRequest,
    test_provider::{CLIENT, ISSUER, TestProvider, log_in},
};
use crate::{
    clock::Clock as _,
    jwt::{Keys, crypto::signer::Signer, jwt_auth::JwtAuth},
};

fn pem(der: &[u8]) -> String {
    pem::encode(&pem::Pem::new("PRIVATE KEY", der))
}

/// Returns a private key in PEM, and the key that verifies.
fn key(algorithm: Algorithm) -> (String, Keys) {
    let (signer, pem) = if algorithm == Algorithm::RS256 {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        (Signer::from_der(algorithm, der.as_ref()).unwrap(), pem(der.as_ref()))
    } else {
        let signer = Signer::generate(algorithm).unwrap();
        let pem = pem(&signer.to_der().unwrap());
        (signer, pem)
    };
    let jwk = signer.verification_jwk().unwrap().with(algorithm, "k1");
    let set = serde_json::json!({ "keys": [jwk] }).to_string();
    (pem, Keys::from_json(&set).unwrap())
}

#[tokio::test]
async fn assertion_is_signed_by_the_client_for_the_issuer() {
    for algorithm in [Algorithm::EdDSA, Algorithm::ES256, Algorithm::ES384, Algorithm::RS256] {
        let provider = TestProvider::new();
        let (pem, keys) = key(algorithm);
        let login = provider.builder().client_key(pem).client_key_id("k1").build().unwrap();
        for _ in 0..2 {
            log_in(&provider, &login, LoginRequest::default()).await.unwrap();
        }
        assert_eq!(provider.header("/token", "authorization"), None);
        let clock = provider.clock().clone();
        let assertions = JwtAuth::builder(keys)
            .issuer(CLIENT)
            .audience(ISSUER)
            .token_type("JWT")
            .require_claim(["jti", "iat"])
            .leeway(std::time::Duration::ZERO)
            .clock(clock.clone())
            .build()
            .unwrap();
        let mut ids = Vec::new();
        for form in provider.forms("/token") {
            assert_eq!(form["client_id"], CLIENT);
            assert_eq!(
                form["client_assertion_type"],
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            );
            assert!(!form.contains_key("client_secret"));
            let caller = assertions.verify(&form["client_assertion"]).await.unwrap();
            assert_eq!(caller.subject(), CLIENT);
            let end = caller.expires_at().unwrap();
            assert_eq!(end, clock.now() + std::time::Duration::from_secs(60));
            assert_eq!(caller.claim::<Value>("aud").unwrap(), ISSUER);
            ids.push(caller.claim::<String>("jti").unwrap());
        }
        assert!(ids.len() == 2 && ids[0] != ids[1]);
    }
}

#[tokio::test]
async fn assertion_for_an_endpoint_without_an_issuer_names_its_url() {
    let provider = TestProvider::new();
    let (pem, keys) = key(Algorithm::EdDSA);
    let url = "https://id.example/token";
    let login = provider
        .configure(OidcLogin::oauth2("https://id.example/authorize", url))
        .identity(|_| async { Ok::<_, std::io::Error>(super::Identity::new("example", "alice")) })
        .client_key(pem)
        .build()
        .unwrap();
    log_in(&provider, &login, LoginRequest::default()).await.unwrap();
    let clock = provider.clock().clone();
    let assertions = JwtAuth::builder(keys).issuer(CLIENT).audience(url).clock(clock);
    let form = provider.forms("/token").remove(0);
    assertions.build().unwrap().verify(&form["client_assertion"]).await.unwrap();
}

#[tokio::test]
async fn public_client_and_secrets_are_sent_as_configured() {
    let provider = TestProvider::new();
    log_in(&provider, &provider.login(), LoginRequest::default()).await.unwrap();
    let login = provider.builder().client_secret("s3cret").build().unwrap();
    log_in(&provider, &login, LoginRequest::default()).await.unwrap();
    assert!(provider.header("/token", "authorization").unwrap().starts_with("Basic "));
    let login = provider.builder().client_secret("s3cret").client_secret_post().build().unwrap();
    log_in(&provider, &login, LoginRequest::default()).await.unwrap();
    assert_eq!(provider.header("/token", "authorization"), None);
    let [public, basic, post] = &*provider.forms("/token") else { panic!() };
    assert_eq!(public["client_id"], CLIENT);
    assert!(!public.contains_key("client_secret"));
    assert!(!basic.contains_key("client_id") && !basic.contains_key("client_secret"));
    assert_eq!(post["client_secret"], "s3cret");
}
