//! What the providers publish: the documents in `published.json`, with keys of the tests.

use std::sync::LazyLock;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::Value;
use tower_auth::{
    jwks::{Fetch, FetchError},
    jwt,
};
use tower_auth_test_support::token::Signer;

/// The key of all providers that sign with RS256.
pub static RSA: LazyLock<Signer> = LazyLock::new(|| Signer::generate("RS256", "rsa"));

/// The key of all providers that sign with ES256.
pub static EC: LazyLock<Signer> = LazyLock::new(|| Signer::generate("ES256", "ec"));

/// The secret of all providers that sign with HS256.
pub static SECRET: LazyLock<Signer> =
    LazyLock::new(|| Signer::secret("HS256", None, SUPABASE_SECRET));

pub const SUPABASE_SECRET: &[u8] = b"super-secret-jwt-token-with-at-least-32-characters";

/// Replaces `tower_auth::jwt::Jwks` in the configurations of the guide, so that they read the
/// published documents without a network.
pub struct Jwks;

impl Jwks {
    pub fn discover(issuer: impl Into<String>) -> jwt::Jwks {
        jwt::Jwks::discover(issuer).client(Published)
    }

    pub fn url(url: impl Into<String>) -> jwt::Jwks {
        jwt::Jwks::url(url).client(Published)
    }
}

struct Published;

impl Fetch for Published {
    async fn fetch(&self, request: Request<()>) -> Result<Response<Bytes>, FetchError> {
        let mut response = Response::default();
        match document(&request.uri().to_string()) {
            Some(document) => *response.body_mut() = document.to_string().into(),
            None => *response.status_mut() = StatusCode::NOT_FOUND,
        }
        Ok(response)
    }
}

/// Returns the document at a URL. Keys get the material of [`RSA`] or [`EC`], in JWK sets and in
/// PEM texts.
fn document(url: &str) -> Option<Value> {
    static DOCUMENTS: LazyLock<Value> =
        LazyLock::new(|| serde_json::from_str(include_str!("published.json")).unwrap());
    let mut document = DOCUMENTS.get(url)?.clone();
    for text in document.as_object_mut()?.values_mut().filter(|text| *text == "PEM of the RSA key")
    {
        *text = rsa_pem().into();
    }
    for key in document.get_mut("keys").and_then(Value::as_array_mut).into_iter().flatten() {
        let (material, members) = match key["kty"].as_str() {
            Some("EC") => (EC.jwk(), ["x", "y"]),
            _ => (RSA.jwk(), ["n", "e"]),
        };
        if key["crv"] == "P-384" {
            continue;
        }
        for member in members {
            key[member] = material[member].clone();
        }
    }
    Some(document)
}

/// Returns the RSA key as an `RSAPublicKey` (RFC 8017 §A.1.1).
fn rsa_pem() -> String {
    let jwk = RSA.jwk();
    let integer = |member: &str| {
        let mut octets = URL_SAFE_NO_PAD.decode(jwk[member].as_str().unwrap()).unwrap();
        if octets[0] >= 0x80 {
            octets.insert(0, 0);
        }
        der(0x02, &octets)
    };
    let key = STANDARD.encode(der(0x30, &[integer("n"), integer("e")].concat()));
    format!("-----BEGIN RSA PUBLIC KEY-----\n{key}\n-----END RSA PUBLIC KEY-----\n")
}

/// Encodes a value in DER, with a length of at most 65535 octets.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let length = match (high, low) {
        (0, 0..0x80) => vec![low],
        (0, _) => vec![0x81, low],
        _ => vec![0x82, high, low],
    };
    [&[tag], &*length, content].concat()
}
