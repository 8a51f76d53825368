//! The interface to the cryptography library: backends prepare keys and verify signatures. Signing
//! is not replaceable.

#[cfg(feature = "aws-lc-rs")]
pub(crate) mod aws_lc;
#[cfg(all(
    feature = "aws-lc-rs",
    any(feature = "client-oauth", feature = "dpop", feature = "issue")
))]
pub(crate) mod key_pem;
#[cfg(feature = "aws-lc-rs")]
#[allow(dead_code)] // for `issue` and test tokens only
pub(crate) mod public_jwk;
#[cfg(feature = "aws-lc-rs")]
#[allow(dead_code)] // as above
pub(crate) mod signer;

use std::{borrow::Cow, error::Error, fmt};

use jsonwebtoken::{Algorithm, DecodingKey};

#[cfg(feature = "aws-lc-rs")]
pub use self::aws_lc::AwsLc;

/// Prepares keys for signature verification.
///
/// [`AwsLc`], behind the feature `aws-lc-rs`, is the default. For targets on which aws-lc-rs does
/// not build, implement your own backend:
///
/// ```
/// use tower_auth::jwt::{
///     Algorithm, DecodingKey,
///     crypto::{Backend, InvalidKey, InvalidSignature, Verifier},
/// };
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
///                 let secret = key.try_get_as_bytes();
///                 let secret = secret.map_err(|_| InvalidKey::new("not a secret"))?;
///                 Ok(Box::new(Hs256(secret.to_vec())))
///             }
///             _ => Err(InvalidKey::new("this backend supports only HS256")),
///         }
///     }
/// }
///
/// struct Hs256(Vec<u8>);
///
/// impl Verifier for Hs256 {
///     fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
///         // Compute the MAC of `message` and compare it with `signature` in constant time.
/// #       let _ = (message, signature, &self.0);
///         Err(InvalidSignature)
///     }
/// }
/// ```
///
/// # Security
///
/// A backend must follow RFC 7518 §3.2–3.5:
///
/// - It rejects signatures that do not have the form and length of the algorithm. An ECDSA
///   signature is `r` and `s`, each of fixed length.
/// - It rejects RSA keys below 2048 bits and points that are not on the curve, as invalid keys.
///
/// The caller of the backend has already checked that the key belongs to the family of the
/// algorithm, and that an HMAC secret has the minimum length.
pub trait Backend: Send + Sync + 'static {
    /// Prepares a key for one algorithm, so that verification does not parse the key again.
    ///
    /// # Errors
    ///
    /// Returns an error if the key is not usable with the algorithm.
    fn prepare(
        &self,
        algorithm: Algorithm,
        key: &DecodingKey,
    ) -> Result<Box<dyn Verifier>, InvalidKey>;
}

/// Verifies signatures with one key and one algorithm.
pub trait Verifier: Send + Sync {
    /// Verifies that `signature` is a signature of `message` by this key.
    ///
    /// # Errors
    ///
    /// Returns an error if the signature is invalid.
    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature>;
}

/// The reason why a key cannot be prepared.
#[derive(Clone, Debug)]
pub struct InvalidKey(pub(crate) Cow<'static, str>);

impl InvalidKey {
    /// Creates an error with the reason why the key is not usable with the algorithm.
    #[must_use]
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for InvalidKey {}

/// A signature is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidSignature;

impl fmt::Display for InvalidSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the signature is invalid")
    }
}

impl Error for InvalidSignature {}
