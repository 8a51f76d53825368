use aws_lc_rs::{
    hmac,
    rsa::PublicKey,
    signature::{
        self as signatures, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents,
        VerificationAlgorithm,
    },
};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};

use super::{Backend, InvalidKey, InvalidSignature, Verifier};
use crate::jwt::keys::jwk::without_leading_zeros;

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
            Algorithm::RS256 => prepare_rsa(&signatures::RSA_PKCS1_2048_8192_SHA256, key),
            Algorithm::RS384 => prepare_rsa(&signatures::RSA_PKCS1_2048_8192_SHA384, key),
            Algorithm::RS512 => prepare_rsa(&signatures::RSA_PKCS1_2048_8192_SHA512, key),
            Algorithm::PS256 => prepare_rsa(&signatures::RSA_PSS_2048_8192_SHA256, key),
            Algorithm::PS384 => prepare_rsa(&signatures::RSA_PSS_2048_8192_SHA384, key),
            Algorithm::PS512 => prepare_rsa(&signatures::RSA_PSS_2048_8192_SHA512, key),
            Algorithm::ES256 => prepare_curve(&signatures::ECDSA_P256_SHA256_FIXED, key),
            Algorithm::ES384 => prepare_curve(&signatures::ECDSA_P384_SHA384_FIXED, key),
            Algorithm::EdDSA => prepare_curve(&signatures::ED25519, key),
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
    key: &DecodingKey,
) -> Result<Box<dyn Verifier>, InvalidKey> {
    let parsed = ParsedPublicKey::new(algorithm, key_bytes(key)?);
    let parsed =
        parsed.map_err(|_| InvalidKey::new("not a public key on the curve of the algorithm"))?;
    Ok(Box::new(PublicKeyVerifier(parsed)))
}

fn prepare_rsa(
    algorithm: &'static RsaParameters,
    key: &DecodingKey,
) -> Result<Box<dyn Verifier>, InvalidKey> {
    let invalid_rsa = || InvalidKey::new("not an RSA public key");
    let parsed = match key.kind() {
        DecodingKeyKind::SecretOrDer(der) => ParsedPublicKey::new(algorithm, der),
        DecodingKeyKind::RsaModulusExponent { n, e } => {
            let [n, e] = [n, e].map(|number| without_leading_zeros(number));
            RsaPublicKeyComponents { n, e }.to_parsed_public_key(algorithm)
        }
    };
    let parsed = parsed.map_err(|_| invalid_rsa())?;
    // aws-lc-rs checks the key size only when it verifies. Check it here, to reject such keys
    // early.
    let public = PublicKey::from_der(parsed.as_ref()).map_err(|_| invalid_rsa())?;
    let bits = RsaParameters::public_modulus_len(public.as_ref()).map_err(|_| invalid_rsa())?;
    if (algorithm.min_modulus_len()..=algorithm.max_modulus_len()).contains(&bits) {
        Ok(Box::new(PublicKeyVerifier(parsed)))
    } else {
        Err(InvalidKey::new("the RSA key must have 2048 to 8192 bits"))
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
