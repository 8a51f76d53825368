use std::fmt;

use aws_lc_rs::{
    error::Unspecified,
    hmac,
    rand::{self, SystemRandom},
    rsa::KeySize,
    signature::{
        self as signatures, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
        RsaEncoding, RsaKeyPair,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use zeroize::Zeroizing;

use super::{InvalidKey, public_jwk::PublicJwk};

/// Signs tokens with one private key or secret and one algorithm.
pub(crate) struct Signer {
    pub(crate) algorithm: Algorithm,
    material: KeyMaterial,
}

/// What aws-lc-rs holds is erased by it.
enum KeyMaterial {
    Secret(Box<hmac::Key>, Zeroizing<Vec<u8>>),
    Rsa(&'static dyn RsaEncoding, RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// How keys of an algorithm are created and used.
enum Kind {
    Secret(hmac::Algorithm),
    Rsa(&'static dyn RsaEncoding),
    Ecdsa(&'static EcdsaSigningAlgorithm),
    Ed25519,
}

impl Kind {
    fn of(algorithm: Algorithm) -> Result<Self, InvalidKey> {
        Ok(match algorithm {
            Algorithm::HS256 => Self::Secret(hmac::HMAC_SHA256),
            Algorithm::HS384 => Self::Secret(hmac::HMAC_SHA384),
            Algorithm::HS512 => Self::Secret(hmac::HMAC_SHA512),
            Algorithm::RS256 => Self::Rsa(&signatures::RSA_PKCS1_SHA256),
            Algorithm::RS384 => Self::Rsa(&signatures::RSA_PKCS1_SHA384),
            Algorithm::RS512 => Self::Rsa(&signatures::RSA_PKCS1_SHA512),
            Algorithm::PS256 => Self::Rsa(&signatures::RSA_PSS_SHA256),
            Algorithm::PS384 => Self::Rsa(&signatures::RSA_PSS_SHA384),
            Algorithm::PS512 => Self::Rsa(&signatures::RSA_PSS_SHA512),
            Algorithm::ES256 => Self::Ecdsa(&signatures::ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::ES384 => Self::Ecdsa(&signatures::ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::EdDSA => Self::Ed25519,
            _ => return Err(InvalidKey::new("aws-lc-rs does not support the algorithm")),
        })
    }
}

impl Signer {
    /// Generates a key. RSA keys have 2048 bits, and secrets the length of the hash.
    pub(crate) fn generate(algorithm: Algorithm) -> Result<Self, InvalidKey> {
        let failed = |Unspecified| InvalidKey::new("the key cannot be generated");
        let material = match Kind::of(algorithm)? {
            Kind::Secret(hash) => {
                let mut secret = Zeroizing::new(vec![0; hash.digest_algorithm().output_len()]);
                rand::fill(&mut secret).map_err(failed)?;
                KeyMaterial::Secret(Box::new(hmac::Key::new(hash, &secret)), secret)
            }
            Kind::Rsa(encoding) => {
                KeyMaterial::Rsa(encoding, RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?)
            }
            Kind::Ecdsa(curve) => {
                KeyMaterial::Ecdsa(EcdsaKeyPair::generate(curve).map_err(failed)?)
            }
            Kind::Ed25519 => KeyMaterial::Ed25519(Ed25519KeyPair::generate().map_err(failed)?),
        };
        Ok(Self { algorithm, material })
    }

    /// Reads a private key in DER: PKCS #8, for RSA also PKCS #1, for EC also SEC 1. A secret is
    /// its bytes.
    #[cfg(any(feature = "client-oauth", feature = "dpop", feature = "issue"))]
    pub(crate) fn from_der(algorithm: Algorithm, key: &[u8]) -> Result<Self, InvalidKey> {
        let rejected = |_| InvalidKey::new("not a private key of the algorithm");
        let material = match Kind::of(algorithm)? {
            Kind::Secret(hash) if key.len() >= hash.digest_algorithm().output_len() => {
                let secret = Zeroizing::new(key.to_vec());
                KeyMaterial::Secret(Box::new(hmac::Key::new(hash, key)), secret)
            }
            Kind::Secret(_) => {
                return Err(InvalidKey::new(
                    "the secret is shorter than the hash of the algorithm",
                ));
            }
            Kind::Rsa(encoding) => {
                let pair = RsaKeyPair::from_pkcs8(key).or_else(|_| RsaKeyPair::from_der(key));
                KeyMaterial::Rsa(encoding, pair.map_err(rejected)?)
            }
            Kind::Ecdsa(curve) => {
                let pair = EcdsaKeyPair::from_private_key_der(curve, key);
                KeyMaterial::Ecdsa(pair.map_err(rejected)?)
            }
            Kind::Ed25519 => {
                KeyMaterial::Ed25519(Ed25519KeyPair::from_pkcs8(key).map_err(rejected)?)
            }
        };
        Ok(Self { algorithm, material })
    }

    /// Returns the private key in PKCS #8, or the secret, for [`from_der`](Self::from_der).
    #[cfg(feature = "issue")]
    pub(crate) fn to_der(&self) -> Result<Zeroizing<Vec<u8>>, InvalidKey> {
        use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};

        let failed = |Unspecified| InvalidKey::new("the key cannot be encoded");
        Ok(Zeroizing::new(match &self.material {
            KeyMaterial::Secret(_, secret) => secret.to_vec(),
            KeyMaterial::Rsa(_, pair) => {
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
                der.as_ref().to_vec()
            }
            KeyMaterial::Ecdsa(pair) => pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec(),
            KeyMaterial::Ed25519(pair) => pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec(),
        }))
    }

    /// Appends a dot and the signature of the text.
    pub(crate) fn append_signature(&self, token: &mut String) -> Result<(), InvalidKey> {
        let failed = |Unspecified| InvalidKey::new("the key cannot sign");
        let message = token.as_bytes();
        match &self.material {
            KeyMaterial::Secret(key, _) => append(token, hmac::sign(key, message)),
            KeyMaterial::Rsa(encoding, pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let signed = pair.sign(*encoding, &SystemRandom::new(), message, &mut signature);
                signed.map_err(failed)?;
                append(token, signature);
            }
            KeyMaterial::Ecdsa(pair) => {
                append(token, pair.sign(&SystemRandom::new(), message).map_err(failed)?);
            }
            KeyMaterial::Ed25519(pair) => append(token, pair.try_sign(message).map_err(failed)?),
        }
        Ok(())
    }

    /// Returns the key for verification: the public key, or the secret.
    pub(crate) fn verification_jwk(&self) -> Result<PublicJwk, InvalidKey> {
        match &self.material {
            KeyMaterial::Secret(_, secret) => Ok(PublicJwk::secret(secret)),
            KeyMaterial::Rsa(_, pair) => PublicJwk::rsa_der(pair.public_key().as_ref()),
            KeyMaterial::Ecdsa(pair) => PublicJwk::ec(self.algorithm, pair.public_key().as_ref()),
            KeyMaterial::Ed25519(pair) => Ok(PublicJwk::ed25519(pair.public_key().as_ref())),
        }
    }

    /// Returns whether this is a secret, which must not be published.
    #[cfg(feature = "issue")]
    pub(crate) fn is_secret(&self) -> bool {
        matches!(self.material, KeyMaterial::Secret(..))
    }
}

fn append(token: &mut String, signature: impl AsRef<[u8]>) {
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, token);
}

/// Hides the key.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}
