//! Public keys that no backend may verify with: weak ones, whose signatures can be forged without a
//! private key, and invalid ones.

use jsonwebtoken::{AlgorithmFamily, DecodingKey, DecodingKeyKind};

use super::{jwk::without_leading_zeros, public_key::read_rsa};
use crate::{ed25519_point::check_point, jwt::crypto::InvalidKey};

/// Rejects weak and invalid RSA and Ed25519 keys. The points of P-256 and P-384 all have a large
/// order.
pub(crate) fn check_strength(key: &DecodingKey) -> Result<(), InvalidKey> {
    match (key.family(), key.kind()) {
        (AlgorithmFamily::Ed, DecodingKeyKind::SecretOrDer(key)) => check_ed25519(key),
        (AlgorithmFamily::Rsa, DecodingKeyKind::RsaModulusExponent { n, e }) => check_rsa(n, e),
        (AlgorithmFamily::Rsa, DecodingKeyKind::SecretOrDer(der)) => match read_rsa(der) {
            Ok((modulus, exponent)) => check_rsa(modulus.as_bytes(), exponent.as_bytes()),
            // The backend rejects it, or knows the format.
            Err(_) => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Checks the point of an Ed25519 key, which is the whole key or in a `SubjectPublicKeyInfo` (RFC
/// 8410 §4). Backends read both forms, also in the `x` of a JWK.
fn check_ed25519(key: &[u8]) -> Result<(), InvalidKey> {
    const BEFORE_POINT: [u8; 12] =
        [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

    // A form that is not known here is rejected, because its point cannot be checked.
    let point = key.strip_prefix(&BEFORE_POINT).unwrap_or(key);
    let point = <[u8; 32]>::try_from(point);
    let point = point.map_err(|_| InvalidKey::new("not a public key on the curve Ed25519"))?;
    check_point(point).map_err(InvalidKey::new)
}

/// Rejects numbers that are not an RSA public key: RFC 8017 §3.1 requires an odd modulus, and an
/// odd exponent of at least 3. The backend checks the size of the modulus.
fn check_rsa(modulus: &[u8], exponent: &[u8]) -> Result<(), InvalidKey> {
    let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
    if !is_odd(modulus) {
        return Err(InvalidKey::new("the modulus of the RSA key is even"));
    }
    if !is_odd(exponent) || matches!(without_leading_zeros(exponent), [1]) {
        return Err(InvalidKey::new(
            "the exponent of the RSA key is even or 1: RFC 8017 requires an odd one of at least 3",
        ));
    }
    Ok(())
}
