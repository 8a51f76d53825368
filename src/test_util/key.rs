use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde_json::Value;

use crate::jwt::crypto::signer::Signer;

/// A signing key for one algorithm.
pub(crate) struct SigningKey {
    pub(crate) id: String,
    pub(crate) algorithm: Algorithm,
    signer: Signer,
}

impl SigningKey {
    #[track_caller]
    #[allow(clippy::panic)] // documented at `TokenMint::algorithm`
    pub(crate) fn generate(algorithm: Algorithm, id: String) -> Self {
        match Signer::generate(algorithm) {
            Ok(signer) => Self { id, algorithm, signer },
            Err(error) => panic!("cannot generate a key for {algorithm:?}: {error}"),
        }
    }

    /// Returns the JWK for verification: the public key, or the secret for HMAC.
    #[allow(clippy::expect_used)] // generated keys have the right form
    pub(crate) fn jwk(&self) -> Value {
        let jwk = self.signer.verification_jwk().expect("a generated key has a JWK");
        jwk.with(self.algorithm, &self.id)
    }

    /// Returns a compact JWS with exactly this header and payload.
    #[allow(clippy::expect_used)] // the test must fail
    pub(crate) fn sign(&self, header: &Value, payload: &Value) -> String {
        let mut token = format!("{}.{}", encode(header.to_string()), encode(payload.to_string()));
        self.signer.append_signature(&mut token).expect("a generated key signs");
        token
    }
}

/// Hides the secret.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[allow(clippy::expect_used)] // without randomness, the test must fail
pub(crate) fn random(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    aws_lc_rs::rand::fill(&mut bytes).expect("aws-lc-rs is random");
    bytes
}
