//! Real tokens that are bound to a key or a certificate (`cnf`, RFC 7800).

use std::error::Error as _;

use aws_lc_rs::digest::{SHA256, digest};
use axum::{Router, http::header::WWW_AUTHENTICATE, routing::get};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tower_auth::{
    AuthenticateLayer, Authenticator, Principal, Rejection,
    bearer::{BearerAuth, TokenVerifier},
    introspection::Introspection,
    jwt::{Issuers, TokenCache, TokenError},
    mtls::{CertificateBinding, ClientCertificate},
};
use tower_auth_test_support::{
    api::Api,
    openssl::OpenSsl,
    provider::{Provider, token_part},
    token::{Signer, encode, now, random},
};

use super::Service;

const RESOURCE: &str = "urn:es256";

/// Returns a proof for a request (RFC 9449 §4.2).
fn dpop_proof(key: &Signer, method: &str, url: &str, token: Option<&str>) -> String {
    let mut jwk = key.jwk();
    jwk.as_object_mut().unwrap().retain(|name, _| ["kty", "crv", "x", "y"].contains(&&**name));
    let header = json!({ "typ": "dpop+jwt", "alg": key.algorithm, "jwk": jwk });
    let mut claims = json!({
        "htm": method, "htu": url, "iat": now(), "jti": encode(random(16)),
    });
    if let Some(token) = token {
        claims["ath"] = encode(digest(&SHA256, token.as_bytes())).into();
    }
    key.token_with(&header, &claims)
}

/// Returns the thumbprint of an EC key (RFC 7638).
fn thumbprint(key: &Signer) -> String {
    let jwk = key.jwk();
    let (x, y) = (&jwk["x"], &jwk["y"]);
    let members = format!(r#"{{"crv":"P-256","kty":"EC","x":{x},"y":{y}}}"#);
    encode(digest(&SHA256, members.as_bytes()))
}

/// Checks that every service rejects the token, and that `cnf` is the reason.
async fn assert_rejected_only_because_it_is_bound(
    provider: &Provider,
    token: &str,
    proof: (&str, String),
) {
    let profile = provider.tokens(RESOURCE).access_token_profile();
    let cached = provider.tokens(RESOURCE).cache(TokenCache::new(1 << 20));
    for tokens in [provider.tokens(RESOURCE), profile, cached] {
        let service = Service::start(tokens).await;
        // The second time, the token may be in the cache.
        for _ in 0..2 {
            service.assert_rejects(token).await;
        }
        // Evidence that no binding reads does not help.
        let request = service.client.get(&service.address).bearer_auth(token);
        let response = request.header(proof.0, &proof.1).send().await.unwrap();
        assert_eq!(response.status(), 401);
        // The scheme of DPoP is not supported here, so the request has no credentials.
        let request = service.client.get(&service.address).header(proof.0, &proof.1);
        let response = request.header("authorization", format!("DPoP {token}")).send().await;
        let response = response.unwrap();
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
        // A token of the same issuer without `cnf` is accepted.
        assert_eq!(service.status(&provider.token(RESOURCE).await).await, 200);
    }
    let reason = |rejection: Rejection| {
        rejection.source().and_then(|reason| reason.downcast_ref::<TokenError>()).cloned()
    };
    let tokens = provider.tokens(RESOURCE).build().unwrap();
    let rejection = tokens.verify(token).await.unwrap_err();
    assert_eq!(reason(rejection), Some(TokenError::Unconfirmed));
    let issuers = Issuers::new([tokens]).unwrap();
    let rejection = TokenVerifier::verify(&issuers, token).await.unwrap_err();
    assert_eq!(reason(rejection), Some(TokenError::Unconfirmed));

    let ignoring = provider.tokens(RESOURCE).dangerous_ignore_confirmation();
    assert_eq!(Service::start(ignoring).await.status(token).await, 200);
}

fn access_token(response: &Value) -> &str {
    response["access_token"].as_str().unwrap_or_else(|| panic!("{response}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn dpop_bound_token_is_rejected_as_a_plain_bearer_token() {
    let Some(provider) = Provider::start() else { return };
    let key = Signer::generate("ES256", "client");
    let proof = dpop_proof(&key, "POST", &format!("{}/token", provider.issuer), None);
    let response = provider.bound_token("dpop-service", ("dpop", &proof), RESOURCE).await;
    assert_eq!(response["token_type"], "DPoP", "{response}");
    let token = access_token(&response);
    assert_eq!(token_part(token, 1)["cnf"], json!({ "jkt": thumbprint(&key) }));

    let proof = dpop_proof(&key, "GET", "http://127.0.0.1/", Some(token));
    assert_rejected_only_because_it_is_bound(&provider, token, ("dpop", proof)).await;
}

/// Returns the escaped PEM of a new certificate, as nginx writes it in `$ssl_client_escaped_cert`,
/// and the thumbprint of the certificate.
fn certificate(openssl: &OpenSsl, file: &str) -> (String, String) {
    openssl.generate(file, "EC -pkeyopt ec_paramgen_curve:P-256");
    let certificate = openssl.certificate(file);
    let base64: String = certificate.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(base64).unwrap();
    let escape = |byte: u8| match byte {
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    (certificate.bytes().map(escape).collect(), encode(digest(&SHA256, &der)))
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_bound_token_is_rejected_as_a_plain_bearer_token() {
    let (Some(provider), Some(openssl)) = (Provider::start(), OpenSsl::find()) else { return };
    let (escaped, thumbprint) = certificate(&openssl, "client.pem");
    let header = ("x-ssl-client-cert", &*escaped);
    let response = provider.bound_token("mtls-service", header, RESOURCE).await;
    let token = access_token(&response);
    assert_eq!(token_part(token, 1)["cnf"], json!({ "x5t#S256": thumbprint }));
    assert_rejected_only_because_it_is_bound(&provider, token, ("x-ssl-client-cert", escaped))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_bound_token_is_accepted_with_its_certificate() {
    let start = || Provider::start_script("bound_provider.mjs");
    let (Some(provider), Some(openssl)) = (start(), OpenSsl::find()) else { return };
    let [(own, _), (other, _)] =
        ["client.pem", "other.pem"].map(|file| certificate(&openssl, file));
    for resource in ["urn:jwt", "urn:opaque"] {
        let header = ("x-ssl-client-cert", &*own);
        let response = provider.bound_token("mtls-service", header, resource).await;
        assert_eq!(response["token_type"], "Bearer");
        let token = access_token(&response);
        let from_proxy = |proxies: &str| {
            let header = ClientCertificate::escaped_pem_header("x-ssl-client-cert", proxies);
            CertificateBinding::new(header.unwrap())
        };
        let statuses = async |proxies: &str| {
            let app = match resource {
                "urn:jwt" => {
                    let tokens = provider.tokens(resource).binding(from_proxy(proxies));
                    protected(tokens.require_binding().build().unwrap())
                }
                _ => {
                    let tokens = Introspection::discover(&*provider.issuer)
                        .client_secret("orders", "e2e-secret")
                        .audience(resource)
                        .subject_from("client_id");
                    let tokens = BearerAuth::new(tokens.build().unwrap());
                    protected(tokens.binding(from_proxy(proxies)).require_binding())
                }
            };
            let api = Api::serve_with_addresses(app).await;
            let status = async |certificate: Option<&str>| {
                let request = api.get("/").bearer_auth(token);
                let request = match certificate {
                    Some(certificate) => request.header("x-ssl-client-cert", certificate),
                    None => request,
                };
                request.send().await.unwrap().status().as_u16()
            };
            [status(Some(&own)).await, status(Some(&other)).await, status(None).await]
        };
        assert_eq!(statuses("127.0.0.1").await, [200, 401, 401], "{resource}");
        // The test is not a trusted proxy here.
        assert_eq!(statuses("192.0.2.1").await, [401, 401, 401], "{resource}");
    }
}

fn protected(tokens: impl Authenticator + 'static) -> Router {
    let app = Router::new().route("/", get(async |_: Principal| ()));
    app.layer(AuthenticateLayer::new(tokens))
}
