//! The seam to cryptography: one prepared key per JWK and algorithm, built once.

#[cfg(feature = "aws-lc-rs")]
pub(crate) mod aws_lc;

use std::{borrow::Cow, error::Error, fmt};

use jsonwebtoken::{Algorithm, DecodingKey};

#[cfg(feature = "aws-lc-rs")]
pub use self::aws_lc::AwsLc;

/// Where signatures are verified.
///
/// [`AwsLc`] is the one that comes with the feature `aws-lc-rs`. A target that it does not build for
/// brings its own:
///
/// ```
/// use tower_auth::jwt::{Algorithm, DecodingKey, crypto::{Backend, InvalidKey, InvalidSignature, Verifier}};
///
/// struct Hs256Only;
///
/// impl Backend for Hs256Only {
///     fn prepare(
///         &self,
///         algorithm: Algorithm,
///         key: &DecodingKey,
///     ) -> Result<Box<dyn Verifier>, InvalidKey> {
///         match algorithm {
///             Algorithm::HS256 => {
///                 let secret = key.try_get_as_bytes().map_err(|_| InvalidKey::new("no secret"))?;
///                 Ok(Box::new(Hs256(secret.to_vec())))
///             }
///             _ => Err(InvalidKey::new("this backend verifies HS256 alone")),
///         }
///     }
/// }
///
/// struct Hs256(Vec<u8>);
///
/// impl Verifier for Hs256 {
///     fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
///         // Compute the MAC of `message`, and compare it with `signature` in constant time.
/// #       let _ = (message, signature, &self.0);
///         Err(InvalidSignature)
///     }
/// }
/// ```
///
/// # Security
///
/// A backend holds to RFC 7518 §3.2–3.5: signatures have the algorithm's form and length, ECDSA ones
/// being `r` and `s` of fixed length; RSA keys below 2048 bits and points off the curve are invalid
/// keys. That a key is of the algorithm's family, and the least length of an HMAC secret, are seen to before it
/// is asked.
pub trait Backend: Send + Sync + 'static {
    /// Prepares a key for one algorithm, so that verifying parses nothing.
    ///
    /// # Errors
    ///
    /// If the key is no good for the algorithm.
    fn prepare(
        &self,
        algorithm: Algorithm,
        key: &DecodingKey,
    ) -> Result<Box<dyn Verifier>, InvalidKey>;
}

/// One key, prepared for one algorithm.
pub trait Verifier: Send + Sync {
    /// Checks that `signature` is the key's for exactly this `message`.
    ///
    /// # Errors
    ///
    /// If it is not.
    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature>;
}

/// Why a key could not be prepared.
#[derive(Clone, Debug)]
pub struct InvalidKey(pub(crate) Cow<'static, str>);

impl InvalidKey {
    /// For backends: what is wrong with the key, or with it under this algorithm.
    #[must_use]
    pub fn new(fault: impl Into<Cow<'static, str>>) -> Self {
        Self(fault.into())
    }
}

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for InvalidKey {}

/// A signature that is not the key's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidSignature;

impl fmt::Display for InvalidSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the signature is not valid")
    }
}

impl Error for InvalidSignature {}
