use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::keys_error::KeysError;
use crate::jwt::crypto::{public_jwk::PublicJwk, signer::Signer};

/// A key that signs access tokens.
pub(crate) struct SigningKey {
    pub(crate) id: Box<str>,
    /// The encoded header of an access token, and a dot.
    prefix: String,
    signer: Signer,
    jwk: PublicJwk,
}

impl SigningKey {
    pub(super) fn new(id: impl Into<Box<str>>, signer: Signer) -> Result<Self, KeysError> {
        let id = id.into();
        let header = json!({ "alg": signer.algorithm, "typ": "at+jwt", "kid": id });
        let prefix = format!("{}.", URL_SAFE_NO_PAD.encode(header.to_string()));
        let jwk = signer.verification_jwk()?;
        Ok(Self { id, prefix, signer, jwk })
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.signer.algorithm
    }

    /// Returns an access token with this payload.
    pub(super) fn sign(&self, payload: &[u8]) -> Result<String, KeysError> {
        // The signature of an Ed25519 key has 86 characters, that of an RSA key 342.
        let mut token = String::with_capacity(self.prefix.len() + payload.len() * 4 / 3 + 360);
        token.push_str(&self.prefix);
        URL_SAFE_NO_PAD.encode_string(payload, &mut token);
        self.signer.append_signature(&mut token)?;
        Ok(token)
    }

    /// Returns the JWK to publish, or `None` for a secret.
    pub(super) fn public_jwk(&self) -> Option<Value> {
        (!self.signer.is_secret()).then(|| self.verification_jwk())
    }

    /// Returns the JWK that verifies, which can be a secret.
    pub(super) fn verification_jwk(&self) -> Value {
        self.jwk.with(self.algorithm(), &self.id)
    }
}

/// Hides the key.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}
