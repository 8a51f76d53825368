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

/// Verifies with [aws-lc-rs](https://docs.rs/aws-lc-rs).
#[derive(Clone, Copy, Debug, Default)]
pub struct AwsLc(());

impl Backend for AwsLc {
    fn prepare(
        &self,
        algorithm: Algorithm,
        key: &DecodingKey,
    ) -> Result<Box<dyn Verifier>, InvalidKey> {
        match algorithm {
            Algorithm::HS256 => secret(hmac::HMAC_SHA256, key),
            Algorithm::HS384 => secret(hmac::HMAC_SHA384, key),
            Algorithm::HS512 => secret(hmac::HMAC_SHA512, key),
            Algorithm::RS256 => rsa(&signatures::RSA_PKCS1_2048_8192_SHA256, &digest::SHA256, key),
            Algorithm::RS384 => rsa(&signatures::RSA_PKCS1_2048_8192_SHA384, &digest::SHA384, key),
            Algorithm::RS512 => rsa(&signatures::RSA_PKCS1_2048_8192_SHA512, &digest::SHA512, key),
            Algorithm::PS256 => rsa(&signatures::RSA_PSS_2048_8192_SHA256, &digest::SHA256, key),
            Algorithm::PS384 => rsa(&signatures::RSA_PSS_2048_8192_SHA384, &digest::SHA384, key),
            Algorithm::PS512 => rsa(&signatures::RSA_PSS_2048_8192_SHA512, &digest::SHA512, key),
            Algorithm::ES256 => {
                public(&signatures::ECDSA_P256_SHA256_FIXED, Some(&digest::SHA256), key)
            }
            Algorithm::ES384 => {
                public(&signatures::ECDSA_P384_SHA384_FIXED, Some(&digest::SHA384), key)
            }
            Algorithm::EdDSA => public(&signatures::ED25519, None, key),
            _ => Err(InvalidKey::new("the algorithm is not one of aws-lc-rs")),
        }
    }
}

fn secret(algorithm: hmac::Algorithm, key: &DecodingKey) -> Result<Box<dyn Verifier>, InvalidKey> {
    Ok(Box::new(Secret(hmac::Key::new(algorithm, bytes(key)?))))
}

fn public(
    algorithm: &'static dyn VerificationAlgorithm,
    hash: Option<&'static digest::Algorithm>,
    key: &DecodingKey,
) -> Result<Box<dyn Verifier>, InvalidKey> {
    let parsed = ParsedPublicKey::new(algorithm, bytes(key)?);
    let parsed = parsed.map_err(|_| InvalidKey::new("no public key of the algorithm's curve"))?;
    Ok(prepared(parsed, hash))
}

fn rsa(
    algorithm: &'static RsaParameters,
    hash: &'static digest::Algorithm,
    key: &DecodingKey,
) -> Result<Box<dyn Verifier>, InvalidKey> {
    let fault = || InvalidKey::new("no RSA public key");
    let parsed = match key.kind() {
        DecodingKeyKind::SecretOrDer(der) => ParsedPublicKey::new(algorithm, der),
        DecodingKeyKind::RsaModulusExponent { n, e } => {
            RsaPublicKeyComponents { n, e }.to_parsed_public_key(algorithm)
        }
    };
    let parsed = parsed.map_err(|_| fault())?;
    // Parsing leaves the size to each verification; a key that can never verify is found here.
    let public = PublicKey::from_der(parsed.as_ref()).map_err(|_| fault())?;
    let bits = RsaParameters::public_modulus_len(public.as_ref()).map_err(|_| fault())?;
    if (algorithm.min_modulus_len()..=algorithm.max_modulus_len()).contains(&bits) {
        Ok(prepared(parsed, Some(hash)))
    } else {
        Err(InvalidKey::new("the RSA key has less than 2048 or more than 8192 bits"))
    }
}

/// To hash first spares aws-lc the contexts in which it does both. aws-lc-rs does not allow that in FIPS mode.
fn prepared(key: ParsedPublicKey, hash: Option<&'static digest::Algorithm>) -> Box<dyn Verifier> {
    match hash.filter(|_| aws_lc_rs::try_fips_mode().is_err()) {
        Some(hash) => Box::new(Hashed { key, hash }),
        None => Box::new(Public(key)),
    }
}

fn bytes(key: &DecodingKey) -> Result<&[u8], InvalidKey> {
    key.try_get_as_bytes().map_err(|_| InvalidKey::new("the key is of another form"))
}

struct Secret(hmac::Key);

impl Verifier for Secret {
    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        hmac::verify(&self.0, message, signature).map_err(|_| InvalidSignature)
    }
}

struct Public(ParsedPublicKey);

impl Verifier for Public {
    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        self.0.verify_sig(message, signature).map_err(|_| InvalidSignature)
    }
}

struct Hashed {
    key: ParsedPublicKey,
    hash: &'static digest::Algorithm,
}

impl Verifier for Hashed {
    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let digest = digest::digest(self.hash, message);
        self.key.verify_digest_sig(&digest, signature).map_err(|_| InvalidSignature)
    }
}
