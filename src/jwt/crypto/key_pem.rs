//! The keys of an operator, in PEM files.

use jsonwebtoken::Algorithm;
#[cfg(feature = "issue")]
use jsonwebtoken::DecodingKeyKind;
use zeroize::Zeroizing;

use super::signer::Signer;
use crate::config_error::ConfigError;
#[cfg(feature = "issue")]
use crate::jwt::{crypto::public_jwk::PublicJwk, keys::public_key::PublicKey};

const CREATE: &str = "create a key with `openssl genpkey -algorithm ed25519`";

/// Reads a private key. Its kind determines the algorithm.
pub(crate) fn read_private(pem: &[u8]) -> Result<Signer, ConfigError> {
    let text = str::from_utf8(pem).map_err(|_| no_block())?;
    let mut keys = Vec::new();
    for block in pem::parse_many(text).map_err(|_| damaged())? {
        let label = block.tag().to_owned();
        let der = Zeroizing::new(block.into_contents());
        match &*label {
            "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => keys.push(der),
            // `openssl ecparam -genkey` writes it before the key.
            "EC PARAMETERS" => {}
            "ENCRYPTED PRIVATE KEY" => {
                return Err(invalid(
                    "it is encrypted: decrypt it with `openssl pkey -in FILE`, which asks for the \
                     pass phrase",
                ));
            }
            "OPENSSH PRIVATE KEY" => {
                return Err(invalid(
                    "it is an SSH key: convert it with `ssh-keygen -p -m PKCS8 -f FILE`",
                ));
            }
            _ => {
                return Err(invalid(&format!(
                    "the block {label:?} is not a private key: use the file that `openssl genpkey` \
                     wrote"
                )));
            }
        }
    }
    match &*keys {
        [key] => of_any_kind(key),
        [] => Err(no_block()),
        _ => Err(invalid("the text has several keys: pass one, and add others with also_verify")),
    }
}

fn of_any_kind(key: &[u8]) -> Result<Signer, ConfigError> {
    [Algorithm::EdDSA, Algorithm::ES256, Algorithm::ES384, Algorithm::RS256]
        .into_iter()
        .find_map(|algorithm| Signer::from_der(algorithm, key).ok())
        .ok_or_else(|| {
            invalid(&format!(
                "the key is damaged, or not an Ed25519 key, an EC key on P-256 or P-384, or an RSA \
                 key of 2048 to 8192 bits; {CREATE}"
            ))
        })
}

/// Reads a key that verifies: the public one, or the private one that it belongs to.
#[cfg(feature = "issue")]
pub(crate) fn read_public(pem: &[u8]) -> Result<(Algorithm, PublicJwk), ConfigError> {
    let is_private = str::from_utf8(pem).is_ok_and(|text| text.contains("PRIVATE KEY-----"));
    if is_private {
        let signer = read_private(pem)?;
        let jwk = signer.verification_jwk();
        return Ok((signer.algorithm, jwk.map_err(|_| damaged())?));
    }
    let (algorithm, key) = match PublicKey::from_pem(pem)? {
        PublicKey::Rsa(key) => (Algorithm::RS256, key),
        PublicKey::Ec(algorithm, key) => (algorithm, key),
        PublicKey::Ed25519(key) => (Algorithm::EdDSA, key),
    };
    let jwk = match (algorithm, key.kind()) {
        (_, DecodingKeyKind::RsaModulusExponent { n, e }) => PublicJwk::rsa(n, e),
        (Algorithm::EdDSA, DecodingKeyKind::SecretOrDer(key)) => PublicJwk::ed25519(key),
        (_, DecodingKeyKind::SecretOrDer(point)) => {
            PublicJwk::ec(algorithm, point).map_err(|_| damaged())?
        }
    };
    Ok((algorithm, jwk))
}

fn no_block() -> ConfigError {
    invalid(&format!(
        "the text has no block that starts with a line such as `-----BEGIN PRIVATE KEY-----`; {CREATE}"
    ))
}

fn damaged() -> ConfigError {
    invalid("the key is truncated or damaged: copy the whole file, from BEGIN to END")
}

fn invalid(reason: &str) -> ConfigError {
    ConfigError::key(format!("cannot read the PEM key: {reason}"))
}
