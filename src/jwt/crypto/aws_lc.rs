use aws_lc_rs::{
    digest, hmac,
    rsa::PublicKey,
    signature::{
        self as signatures, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents,
        VerificationAlgorithm,
    },
};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};

use super::{Backend, InvalidKey, InvalidSignature, Verifier};

/// Verifies signatures with [aws-lc-rs](https://docs.rs/aws-lc-rs).
#[derive(Clone, Copy, Debug, Default)]
pub struct AwsLc(());

impl Backend for AwsLc {
    fn prepare(
        &self,
        algorithm: Algorithm,
        key: &DecodingKey,
    ) -> Result<Box<dyn Verifier>, InvalidKey> {
        match algorithm {
            Algorithm::HS256 => prepare_hmac(hmac::HMAC_SHA256, key),
            Algorithm::HS384 => prepare_hmac(hmac::HMAC_SHA384, key),
            Algorithm::HS512 => prepare_hmac(hmac::HMAC_SHA512, key),
            Algorithm::RS256 => {
                prepare_rsa(&signatures::RSA_PKCS1_2048_8192_SHA256, &digest::SHA256, key)
            }
            Algorithm::RS384 => {
                prepare_rsa(&signatures::RSA_PKCS1_2048_8192_SHA384, &digest::SHA384, key)
            }
            Algorithm::RS512 => {
                prepare_rsa(&signatures::RSA_PKCS1_2048_8192_SHA512, &digest::SHA512, key)
            }
            Algorithm::PS256 => {
                prepare_rsa(&signatures::RSA_PSS_2048_8192_SHA256, &digest::SHA256, key)
            }
            Algorithm::PS384 => {
                prepare_rsa(&signatures::RSA_PSS_2048_8192_SHA384, &digest::SHA384, key)
            }
            Algorithm::PS512 => {
                prepare_rsa(&signatures::RSA_PSS_2048_8192_SHA512, &digest::SHA512, key)
            }
            Algorithm::ES256 => {
                prepare_curve(&signatures::ECDSA_P256_SHA256_FIXED, Some(&digest::SHA256), key)
            }
            Algorithm::ES384 => {
                prepare_curve(&signatures::ECDSA_P384_SHA384_FIXED, Some(&digest::SHA384), key)
            }
            Algorithm::EdDSA => prepare_curve(&signatures::ED25519, None, key),
            _ => Err(InvalidKey::new("aws-lc-rs does not support the algorithm")),
        }
    }
}

fn prepare_hmac(
    algorithm: hmac::Algorithm,
    key: &DecodingKey,
) -> Result<Box<dyn Verifier>, InvalidKey> {
    Ok(Box::new(HmacVerifier(hmac::Key::new(algorithm, key_bytes(key)?))))
}

fn prepare_curve(
    algorithm: &'static dyn VerificationAlgorithm,
    hash: Option<&'static digest::Algorithm>,
    key: &DecodingKey,
) -> Result<Box<dyn Verifier>, InvalidKey> {
    let parsed = ParsedPublicKey::new(algorithm, key_bytes(key)?);
    let parsed =
        parsed.map_err(|_| InvalidKey::new("not a public key on the curve of the algorithm"))?;
    Ok(public_key_verifier(parsed, hash))
}

fn prepare_rsa(
    algorithm: &'static RsaParameters,
    hash: &'static digest::Algorithm,
    key: &DecodingKey,
) -> Result<Box<dyn Verifier>, InvalidKey> {
    let invalid_rsa = || InvalidKey::new("not an RSA public key");
    let parsed = match key.kind() {
        DecodingKeyKind::SecretOrDer(der) => ParsedPublicKey::new(algorithm, der),
        DecodingKeyKind::RsaModulusExponent { n, e } => {
            RsaPublicKeyComponents { n, e }.to_parsed_public_key(algorithm)
        }
    };
    let parsed = parsed.map_err(|_| invalid_rsa())?;
    // aws-lc-rs checks the key size only when it verifies. Check it here, to reject such keys
    // early.
    let public = PublicKey::from_der(parsed.as_ref()).map_err(|_| invalid_rsa())?;
    let bits = RsaParameters::public_modulus_len(public.as_ref()).map_err(|_| invalid_rsa())?;
    if (algorithm.min_modulus_len()..=algorithm.max_modulus_len()).contains(&bits) {
        Ok(public_key_verifier(parsed, Some(hash)))
    } else {
        Err(InvalidKey::new("the RSA key must have 2048 to 8192 bits"))
    }
}

/// Creates a verifier that hashes the message itself, if possible.
///
/// That is faster, because aws-lc then needs no combined contexts for hashing and verification.
/// aws-lc-rs does not allow it in FIPS mode.
fn public_key_verifier(
    key: ParsedPublicKey,
    hash: Option<&'static digest::Algorithm>,
) -> Box<dyn Verifier> {
    match hash.filter(|_| aws_lc_rs::try_fips_mode().is_err()) {
        Some(hash) => Box::new(PrehashedVerifier { key, hash }),
        None => Box::new(PublicKeyVerifier(key)),
    }
}

fn key_bytes(key: &DecodingKey) -> Result<&[u8], InvalidKey> {
    key.try_get_as_bytes().map_err(|_| InvalidKey::new("the key has the wrong form"))
}

struct HmacVerifier(hmac::Key);

impl Verifier for HmacVerifier {
    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        hmac::verify(&self.0, message, signature).map_err(|_| InvalidSignature)
    }
}

struct PublicKeyVerifier(ParsedPublicKey);

impl Verifier for PublicKeyVerifier {
    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        self.0.verify_sig(message, signature).map_err(|_| InvalidSignature)
    }
}

struct PrehashedVerifier {
    key: ParsedPublicKey,
    hash: &'static digest::Algorithm,
}

impl Verifier for PrehashedVerifier {
    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let digest = digest::digest(self.hash, message);
        self.key.verify_digest_sig(&digest, signature).map_err(|_| InvalidSignature)
    }
}
