//! Bearer tokens: those of tokens.json, and an HS256 token with the same claims.

use http::StatusCode;
use serde_json::{Value, json};
use tower::{Layer, service_fn};
use tower_auth::{
    AuthenticateLayer, JwtAuth,
    jwt::{
        Algorithm, DecodingKey, JwtAuthBuilder, Keys, TokenCache,
        crypto::{Backend, InvalidKey, InvalidSignature, Verifier},
    },
};
use tower_auth_test_support::token::{AUDIENCE, ISSUER, Signer};

use crate::prepared::{Prepared, inner};

pub(crate) const SECRET: [u8; 32] = [7; 32];

/// Returns a JWK and a token that is valid for it.
pub(crate) fn fixed(algorithm: &'static str) -> (Value, String) {
    let file: Value = serde_json::from_str(include_str!("../tokens.json")).unwrap();
    if algorithm != "HS256" {
        let entry = &file[algorithm];
        return (entry["jwk"].clone(), entry["token"].as_str().unwrap().to_owned());
    }
    let signer = Signer::secret(algorithm, Some("1"), &SECRET);
    let other = file["RS256"]["token"].as_str().unwrap();
    let header = json!({ "alg": algorithm, "kid": "1", "typ": "JWT" });
    let payload = other.split('.').nth(1).unwrap();
    (
        signer.jwk(),
        signer.sign(&tower_auth_test_support::token::encode(header.to_string()), payload),
    )
}

pub(crate) fn builder(keys: &[Value]) -> JwtAuthBuilder {
    let keys = Keys::from_json(json!({ "keys": keys }).to_string()).unwrap();
    JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE)
}

pub(crate) fn through(
    builder: JwtAuthBuilder,
    value: Option<&str>,
    status: StatusCode,
) -> Prepared {
    let layer = AuthenticateLayer::new(builder.build().unwrap());
    Prepared::new(layer.layer(service_fn(inner)), value, status)
}

pub(crate) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

pub(crate) fn bare() -> Prepared {
    Prepared::new(service_fn(inner), None, StatusCode::OK)
}

pub(crate) fn accepted(algorithm: &'static str) -> Prepared {
    let (jwk, token) = fixed(algorithm);
    through(builder(&[jwk]), Some(&bearer(&token)), StatusCode::OK)
}

pub(crate) fn cached(algorithm: &'static str) -> Prepared {
    let (jwk, token) = fixed(algorithm);
    let builder = builder(&[jwk]).cache(TokenCache::new(1 << 20).cache_hmac());
    through(builder, Some(&bearer(&token)), StatusCode::OK)
}

/// Measures everything except the signature.
///
/// The signature takes so many instructions that a change of 3 % in the rest would not be visible.
pub(crate) fn unverified() -> Prepared {
    let (jwk, token) = fixed("RS256");
    through(builder(&[jwk]).backend(AcceptAll), Some(&bearer(&token)), StatusCode::OK)
}

pub(crate) fn wrong_signature() -> Prepared {
    let (jwk, token) = fixed("HS256");
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    let invalid = bearer(&format!("{signed}.{first}{}", &signature[1..]));
    through(builder(&[jwk]), Some(&invalid), StatusCode::UNAUTHORIZED)
}

pub(crate) fn wrong_length() -> Prepared {
    let (jwk, token) = fixed("RS256");
    let invalid = bearer(&format!("{token}AAAA"));
    through(builder(&[jwk]), Some(&invalid), StatusCode::UNAUTHORIZED)
}

pub(crate) fn malformed() -> Prepared {
    through(builder(&[fixed("HS256").0]), Some("Bearer a.b"), StatusCode::UNAUTHORIZED)
}

pub(crate) fn missing() -> Prepared {
    through(builder(&[fixed("HS256").0]), None, StatusCode::UNAUTHORIZED)
}

/// Accepts every signature.
pub(crate) struct AcceptAll;

impl Backend for AcceptAll {
    fn prepare(&self, _: Algorithm, _: &DecodingKey) -> Result<Box<dyn Verifier>, InvalidKey> {
        Ok(Box::new(Self))
    }
}

impl Verifier for AcceptAll {
    fn verify(&self, _: &[u8], _: &[u8]) -> Result<(), InvalidSignature> {
        Ok(())
    }
}
