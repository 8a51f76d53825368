//! Signing keys. The rest of the crate has verification keys only.

use std::fmt;

use aws_lc_rs::{
    error::Unspecified,
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        self as signatures, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaEncoding, RsaKeyPair,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

/// A signing key for one algorithm.
pub(crate) struct SigningKey {
    pub(crate) id: String,
    pub(crate) algorithm: Algorithm,
    material: KeyMaterial,
}

enum KeyMaterial {
    Secret(hmac::Algorithm, Vec<u8>),
    Rsa(&'static dyn RsaEncoding, RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    #[track_caller]
    #[allow(clippy::expect_used)] // without randomness, the test must fail
    pub(crate) fn generate(algorithm: Algorithm, id: String) -> Self {
        let material = KeyMaterial::generate(algorithm).expect("aws-lc-rs generates keys");
        Self { id, algorithm, material }
    }

    /// Returns the JWK for verification: the public key, or the secret for HMAC.
    #[allow(clippy::indexing_slicing)] // adds members to an object
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = self.material.jwk(self.algorithm);
        jwk["alg"] = json!(self.algorithm);
        jwk["use"] = "sig".into();
        jwk["kid"] = self.id.as_str().into();
        jwk
    }

    /// Returns a compact JWS with exactly this header and payload.
    #[allow(clippy::expect_used)] // as above
    pub(crate) fn sign(&self, header: &Value, payload: &Value) -> String {
        let message = format!("{}.{}", encode(header.to_string()), encode(payload.to_string()));
        let signature = self.material.sign(message.as_bytes()).expect("aws-lc-rs signs");
        format!("{message}.{}", encode(signature))
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

impl KeyMaterial {
    #[track_caller]
    #[allow(clippy::panic)] // documented at `TokenMint::algorithm`
    fn generate(algorithm: Algorithm) -> Result<Self, Unspecified> {
        let secret = |hash: hmac::Algorithm| {
            Ok(Self::Secret(hash, random(hash.digest_algorithm().output_len())))
        };
        let rsa = |encoding| Ok(Self::Rsa(encoding, RsaKeyPair::generate(KeySize::Rsa2048)?));
        let ecdsa = |curve| Ok(Self::Ecdsa(EcdsaKeyPair::generate(curve)?));
        match algorithm {
            Algorithm::HS256 => secret(hmac::HMAC_SHA256),
            Algorithm::HS384 => secret(hmac::HMAC_SHA384),
            Algorithm::HS512 => secret(hmac::HMAC_SHA512),
            Algorithm::RS256 => rsa(&signatures::RSA_PKCS1_SHA256),
            Algorithm::RS384 => rsa(&signatures::RSA_PKCS1_SHA384),
            Algorithm::RS512 => rsa(&signatures::RSA_PKCS1_SHA512),
            Algorithm::PS256 => rsa(&signatures::RSA_PSS_SHA256),
            Algorithm::PS384 => rsa(&signatures::RSA_PSS_SHA384),
            Algorithm::PS512 => rsa(&signatures::RSA_PSS_SHA512),
            Algorithm::ES256 => ecdsa(&signatures::ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::ES384 => ecdsa(&signatures::ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::EdDSA => Ed25519KeyPair::generate().map(Self::Ed25519),
            other => panic!("cannot generate a key for {other:?}"),
        }
    }

    #[allow(clippy::indexing_slicing)] // the length of generated keys is known
    fn jwk(&self, algorithm: Algorithm) -> Value {
        match self {
            Self::Secret(_, secret) => json!({ "kty": "oct", "k": encode(secret) }),
            Self::Rsa(_, pair) => {
                // RFC 8017 §A.1.1: a DER sequence of modulus and exponent. For 2048 bits, the
                // modulus starts at offset 9, after a zero byte. The exponent is always 65537.
                let modulus = &pair.public_key().as_ref()[9..][..256];
                json!({ "kty": "RSA", "n": encode(modulus), "e": encode([1, 0, 1]) })
            }
            Self::Ecdsa(pair) => {
                // SEC 1 §2.3.3: the byte for "uncompressed", then x and y.
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = if algorithm == Algorithm::ES256 { "P-256" } else { "P-384" };
                json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y) })
            }
            Self::Ed25519(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key()) })
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let rng = SystemRandom::new();
        Ok(match self {
            Self::Secret(hash, secret) => {
                hmac::sign(&hmac::Key::new(*hash, secret), message).as_ref().to_vec()
            }
            Self::Rsa(encoding, pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &rng, message, &mut signature)?;
                signature
            }
            Self::Ecdsa(pair) => pair.sign(&rng, message)?.as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        })
    }
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[allow(clippy::expect_used)] // as above
pub(crate) fn random(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    aws_lc_rs::rand::fill(&mut bytes).expect("aws-lc-rs is random");
    bytes
}
