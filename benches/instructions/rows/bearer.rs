//! Requests with the tokens of tokens.json, and with an HS256 token with the same claims.

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
use tower_auth_test_support::token::{AUDIENCE, ISSUER, Signer, encode};

use crate::prepared::{PreparedRequest, inner};

pub(crate) const SECRET: [u8; 32] = [7; 32];

/// Returns a JWK, and a token that is valid with it.
pub(crate) fn fixed_token(algorithm: &'static str) -> (Value, String) {
    let tokens: Value = serde_json::from_str(include_str!("../tokens.json")).unwrap();
    if algorithm != "HS256" {
        let entry = &tokens[algorithm];
        return (entry["jwk"].clone(), entry["token"].as_str().unwrap().to_owned());
    }
    let signer = Signer::secret(algorithm, Some("1"), &SECRET);
    let rs256_token = tokens["RS256"]["token"].as_str().unwrap();
    let header = json!({ "alg": algorithm, "kid": "1", "typ": "JWT" });
    let payload = rs256_token.split('.').nth(1).unwrap();
    (signer.jwk(), signer.sign(&encode(header.to_string()), payload))
}

pub(crate) fn builder(keys: &[Value]) -> JwtAuthBuilder {
    let keys = Keys::from_json(json!({ "keys": keys }).to_string()).unwrap();
    JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE)
}

pub(crate) fn prepare(
    builder: JwtAuthBuilder,
    value: Option<&str>,
    status: StatusCode,
) -> PreparedRequest {
    let layer = AuthenticateLayer::new(builder.build().unwrap());
    PreparedRequest::new(layer.layer(service_fn(inner)), value, status)
}

pub(crate) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

pub(crate) fn bare() -> PreparedRequest {
    PreparedRequest::new(service_fn(inner), None, StatusCode::OK)
}

pub(crate) fn valid_token(algorithm: &'static str) -> PreparedRequest {
    let (jwk, token) = fixed_token(algorithm);
    prepare(builder(&[jwk]), Some(&bearer(&token)), StatusCode::OK)
}

pub(crate) fn cached_token(algorithm: &'static str) -> PreparedRequest {
    let (jwk, token) = fixed_token(algorithm);
    let builder = builder(&[jwk]).cache(TokenCache::new(1 << 20).cache_hmac());
    prepare(builder, Some(&bearer(&token)), StatusCode::OK)
}

/// Prepares a request without the signature verification, which would hide changes of the rest.
pub(crate) fn unverified_token() -> PreparedRequest {
    let (jwk, token) = fixed_token("RS256");
    prepare(builder(&[jwk]).backend(AcceptAnySignature), Some(&bearer(&token)), StatusCode::OK)
}

pub(crate) fn wrong_signature() -> PreparedRequest {
    let (jwk, token) = fixed_token("HS256");
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    let wrong = bearer(&format!("{signed}.{first}{}", &signature[1..]));
    prepare(builder(&[jwk]), Some(&wrong), StatusCode::UNAUTHORIZED)
}

pub(crate) fn wrong_length() -> PreparedRequest {
    let (jwk, token) = fixed_token("RS256");
    let wrong = bearer(&format!("{token}AAAA"));
    prepare(builder(&[jwk]), Some(&wrong), StatusCode::UNAUTHORIZED)
}

pub(crate) fn malformed_token() -> PreparedRequest {
    prepare(builder(&[fixed_token("HS256").0]), Some("Bearer a.b"), StatusCode::UNAUTHORIZED)
}

pub(crate) fn missing_token() -> PreparedRequest {
    prepare(builder(&[fixed_token("HS256").0]), None, StatusCode::UNAUTHORIZED)
}

/// A signature backend that accepts every signature.
pub(crate) struct AcceptAnySignature;

impl Backend for AcceptAnySignature {
    fn prepare(&self, _: Algorithm, _: &DecodingKey) -> Result<Box<dyn Verifier>, InvalidKey> {
        Ok(Box::new(Self))
    }
}

impl Verifier for AcceptAnySignature {
    fn verify(&self, _: &[u8], _: &[u8]) -> Result<(), InvalidSignature> {
        Ok(())
    }
}
