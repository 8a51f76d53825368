//! Client certificates from connections and from headers of proxies, and tokens that are bound to
//! them (RFC 8705).

mod binding;
mod headers;
mod proxies;

use axum::{Router, http::HeaderMap, routing::get};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::json;
use tower_auth::{
    AuthenticateLayer, JwtAuth, Principal,
    jwt::JwtAuthBuilder,
    mtls::{CertificateBinding, ClientCertificate, PeerCertificate},
};
use tower_auth_test_support::api::Issuer;

/// The challenge for a token without its certificate.
const INVALID_TOKEN: &str = r#"Bearer realm="api", error="invalid_token""#;
const INVALID_REQUEST: &str = r#"Bearer realm="api", error="invalid_request""#;

fn thumbprint(der: &[u8]) -> String {
    PeerCertificate::from(der).thumbprint().to_owned()
}

/// Returns a token that is bound to this certificate.
fn bound_token(issuer: &Issuer, der: &[u8]) -> String {
    issuer.token_with(json!({ "cnf": { "x5t#S256": thumbprint(der) } }))
}

fn builder(issuer: &Issuer, source: ClientCertificate) -> JwtAuthBuilder {
    issuer.builder().binding(CertificateBinding::new(source))
}

/// Returns the subject of the caller, and the names of the headers with a certificate.
async fn report(caller: Principal, headers: HeaderMap) -> String {
    let names = headers.keys().map(http::HeaderName::as_str);
    let seen: Vec<_> = names.filter(|name| name.contains("cert")).collect();
    format!("{} {seen:?}", caller.subject())
}

fn app(tokens: JwtAuth) -> Router {
    Router::new().fallback(get(report)).layer(AuthenticateLayer::new(tokens))
}

/// Returns bytes of this length. The sources do not parse the certificate.
fn der(length: usize) -> Vec<u8> {
    (0..length).map(|index| u8::try_from(index * 89 % 251).unwrap()).collect()
}

fn client_cert(der: &[u8]) -> String {
    format!(":{}:", BASE64_STANDARD.encode(der))
}

fn escaped_pem(der: &[u8]) -> String {
    let base64 = BASE64_STANDARD.encode(der);
    let lines: Vec<_> =
        base64.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    let body = lines.join("%0A").replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("-----BEGIN%20CERTIFICATE-----%0A{body}%0A-----END%20CERTIFICATE-----%0A")
}

fn xfcc(der: &[u8]) -> String {
    format!("By=spiffe://example/api;Hash=00;Cert=\"{}\"", escaped_pem(der))
}
