use std::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::key_ring::KeysError;

/// A key that signs access tokens.
pub(crate) struct SigningKey {
    pub(crate) id: Box<str>,
    /// The encoded header of an access token, and a dot.
    prefix: String,
    pair: Ed25519KeyPair,
}

impl SigningKey {
    pub(crate) fn generate(id: impl Into<Box<str>>) -> Result<Self, KeysError> {
        let id = id.into();
        let header = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": id });
        let prefix = format!("{}.", URL_SAFE_NO_PAD.encode(header.to_string()));
        let pair = Ed25519KeyPair::generate().map_err(|_| KeysError::new("no random numbers"))?;
        Ok(Self { id, prefix, pair })
    }

    /// Returns an access token with this payload.
    pub(crate) fn sign(&self, payload: &[u8]) -> Result<String, KeysError> {
        let mut token = self.prefix.clone();
        URL_SAFE_NO_PAD.encode_string(payload, &mut token);
        let signature = self.pair.sign(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    /// Returns the JWK of the public key.
    pub(crate) fn jwk(&self) -> Value {
        json!({
            "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(self.pair.public_key()),
            "alg": "EdDSA", "use": "sig", "kid": self.id,
        })
    }
}

/// Hides the key.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}
