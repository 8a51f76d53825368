//! The public key in the header of a proof.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};

use super::error::ProofError;
use crate::{
    json::{members::Members, value::text},
    jwt::{
        crypto::{Backend as _, Verifier, aws_lc::AwsLc, public_jwk::PublicJwk},
        keys::weak_key::check_strength,
    },
};

/// A public key for one algorithm, and its JWK.
pub(super) struct PublicKey {
    algorithm: Algorithm,
    key: DecodingKey,
    jwk: PublicJwk,
}

/// Members of private keys (RFC 7518 §6.2.2, §6.3.2, RFC 8037 §2) and of secrets (§6.4).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The largest key that is accepted, in bytes. Its proof fits in the size limit.
const MAX_RSA_BYTES: usize = 8192 / 8;

impl PublicKey {
    /// Reads the members that the algorithm needs, and ignores others. The values must have the
    /// lengths of RFC 7518 §6, so that each key has one thumbprint.
    pub(super) fn parse(json: &str, algorithm: Algorithm) -> Result<Self, ProofError> {
        let jwk = Members::parse(json).ok_or(ProofError::MalformedHeader)?;
        if PRIVATE_MEMBERS.iter().any(|name| jwk.get(json, name).is_some()) {
            return Err(ProofError::PrivateKey);
        }
        let is = |name, expected| {
            jwk.get(json, name).and_then(text).is_some_and(|value| value == expected)
        };
        let octets = |name| {
            let value = jwk.get(json, name).and_then(text);
            let decoded = value.and_then(|value| URL_SAFE_NO_PAD.decode(&*value).ok());
            decoded.ok_or(ProofError::Key)
        };
        let (key, jwk) = match algorithm {
            Algorithm::ES256 | Algorithm::ES384 => {
                let (curve, length) = match algorithm {
                    Algorithm::ES256 => ("P-256", 32),
                    _ => ("P-384", 48),
                };
                let (x, y) = (octets("x")?, octets("y")?);
                if !is("kty", "EC") || !is("crv", curve) || x.len() != length || y.len() != length {
                    return Err(ProofError::Key);
                }
                // The uncompressed form of SEC 1 §2.3.3.
                let point = [&[4], &*x, &*y].concat();
                let jwk = PublicJwk::ec(algorithm, &point).map_err(|_| ProofError::Key)?;
                (DecodingKey::from_ec_der(&point), jwk)
            }
            Algorithm::EdDSA => {
                let x = octets("x")?;
                if !is("kty", "OKP") || !is("crv", "Ed25519") || x.len() != 32 {
                    return Err(ProofError::Key);
                }
                (DecodingKey::from_ed_der(&x), PublicJwk::ed25519(&x))
            }
            rsa if rsa.family() == AlgorithmFamily::Rsa => {
                let (modulus, exponent) = (octets("n")?, octets("e")?);
                let is_minimal = |number: &[u8]| number.first().is_some_and(|byte| *byte != 0);
                if !is("kty", "RSA")
                    || !is_minimal(&modulus)
                    || !is_minimal(&exponent)
                    || modulus.len() > MAX_RSA_BYTES
                {
                    return Err(ProofError::Key);
                }
                let key = DecodingKey::from_rsa_raw_components(&modulus, &exponent);
                (key, PublicJwk::rsa(&modulus, &exponent))
            }
            _ => return Err(ProofError::Algorithm),
        };
        Ok(Self { algorithm, key, jwk })
    }

    /// Returns the thumbprint (RFC 7638), as in `jkt`.
    pub(super) fn thumbprint(&self) -> String {
        self.jwk.thumbprint()
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Prepares the key for verification. Rejects weak keys, whose signatures can be forged.
    pub(super) fn prepare(&self) -> Result<Box<dyn Verifier>, ProofError> {
        check_strength(&self.key).map_err(|_| ProofError::Key)?;
        AwsLc::default().prepare(self.algorithm, &self.key).map_err(|_| ProofError::Key)
    }
}
