//! The keys that a validator is given.

use std::fmt;

#[cfg(feature = "jwks")]
use jsonwebtoken::AlgorithmFamily;
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{
        AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, KeyOperations, PublicKeyUse,
    },
};
use serde_json::Value;

use super::skipped::SkippedKey;
use crate::config_error::ConfigError;

/// The keys that tokens may be signed with.
///
/// They come from jsonwebtoken's own types, of which programs hold some already:
///
/// ```
/// use tower_auth::jwt::{Algorithm, DecodingKey, Keys};
///
/// # let secret = [7; 32];
/// let one = Keys::from(DecodingKey::from_secret(&secret));
/// # let (old, new) = ([1; 64], [2; 64]);
/// let rotated = Keys::named("2026-11", Algorithm::HS512, DecodingKey::from_secret(&new))
///     .and(Keys::named("2026-10", Algorithm::HS512, DecodingKey::from_secret(&old)));
///
/// let set: jsonwebtoken::jwk::JwkSet = serde_json::from_str(r#"{"keys": []}"#).unwrap();
/// let published = Keys::from(set);
/// ```
///
/// A key is held to its algorithm. Where it names none, those are what
/// [`algorithms`](super::JwtAuthBuilder::algorithms) lists of its family, or without such a list the
/// family's most common one: `RS256`, `HS256`, and the one that belongs to its curve. A key that names its
/// own is the better one (RFC 8725 §3.1).
///
/// A token with a `kid` is checked against the key of that name, or, where no key has that name,
/// against the one key without a name that fits its `alg`. A token without is checked only where exactly one
/// key fits its `alg`.
#[derive(Clone, Default)]
pub struct Keys {
    pub(crate) keys: Vec<Key>,
    pub(crate) skipped: Vec<SkippedKey>,
}

#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) id: Option<Box<str>>,
    /// The only algorithm it is for, where it says so.
    pub(crate) algorithm: Option<Algorithm>,
    pub(crate) key: DecodingKey,
    /// Whether it is a member of a set, where a bad one is skipped, or was given by itself, where it is
    /// a fault.
    pub(crate) in_set: bool,
}

impl Keys {
    /// One key, for one algorithm.
    #[must_use]
    pub fn new(algorithm: Algorithm, key: DecodingKey) -> Self {
        Self::one(Key { id: None, algorithm: Some(algorithm), key, in_set: false })
    }

    /// One key, for one algorithm and for the tokens that name it in their `kid`.
    pub fn named(id: impl Into<Box<str>>, algorithm: Algorithm, key: DecodingKey) -> Self {
        Self::one(Key { id: Some(id.into()), algorithm: Some(algorithm), key, in_set: false })
    }

    /// A JWK set as JSON (RFC 7517 §5). Members that cannot be used are skipped one by one; see
    /// [`JwtAuth::skipped_keys`](super::JwtAuth::skipped_keys).
    ///
    /// # Errors
    ///
    /// If it is no JSON object with an array `keys`.
    pub fn from_json(json: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let fault = || ConfigError::new("no JWK set: give a JSON object with an array \"keys\"");
        let mut set: Value = serde_json::from_slice(json.as_ref()).map_err(|_| fault())?;
        let members = set.get_mut("keys").and_then(Value::as_array_mut).ok_or_else(fault)?;
        let mut keys = Self::default();
        for mut member in members.drain(..) {
            // The name of RFC 9864, which jsonwebtoken does not know.
            if let Some(algorithm) = member.get_mut("alg").filter(|name| **name == "Ed25519") {
                *algorithm = Value::from("EdDSA");
            }
            let id = member.get("kid").and_then(Value::as_str).map(Box::from);
            match serde_json::from_value::<Jwk>(member) {
                Ok(jwk) => keys.add(&jwk),
                Err(_) => keys.skip(id, "it is no JWK"),
            }
        }
        Ok(keys)
    }

    /// These keys and those. Whoever holds any of them can sign for every issuer of the validator.
    #[must_use]
    pub fn and(mut self, others: impl Into<Self>) -> Self {
        let others = others.into();
        self.keys.extend(others.keys);
        self.skipped.extend(others.skipped);
        self
    }

    /// These keys without HMAC secrets, which no published set can hold.
    #[cfg(feature = "jwks")]
    pub(crate) fn without_secrets(mut self) -> Self {
        let is_secret = |key: &mut Key| key.key.family() == AlgorithmFamily::Hmac;
        for key in self.keys.extract_if(.., is_secret) {
            let reason = "its kty is oct: a set that is published holds no secrets".into();
            self.skipped.push(SkippedKey { id: key.id, reason });
        }
        self
    }

    fn one(key: Key) -> Self {
        Self { keys: vec![key], skipped: Vec::new() }
    }

    fn skip(&mut self, id: Option<Box<str>>, reason: &'static str) {
        self.skipped.push(SkippedKey { id, reason: reason.into() });
    }

    fn add(&mut self, jwk: &Jwk) {
        let id = jwk.common.key_id.as_deref().map(Box::from);
        match usable(jwk) {
            Ok((algorithm, key)) => self.keys.push(Key { id, algorithm, key, in_set: true }),
            Err(reason) => self.skip(id, reason),
        }
    }
}

/// What a member of a set is good for (RFC 7517 §4, §5).
fn usable(jwk: &Jwk) -> Result<(Option<Algorithm>, DecodingKey), &'static str> {
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return Err("its use is not sig");
    }
    if let Some(operations) = &jwk.common.key_operations
        && !operations.contains(&KeyOperations::Verify)
    {
        return Err("its key_ops do not include verify");
    }
    let of_curve = match &jwk.algorithm {
        AlgorithmParameters::EllipticCurve(params) => Some(match params.curve {
            EllipticCurve::P256 => Algorithm::ES256,
            EllipticCurve::P384 => Algorithm::ES384,
            _ => return Err("its curve is not P-256 or P-384"),
        }),
        AlgorithmParameters::OctetKeyPair(params) => match params.curve {
            EllipticCurve::Ed25519 => Some(Algorithm::EdDSA),
            _ => return Err("its curve is not Ed25519"),
        },
        AlgorithmParameters::RSA(_) | AlgorithmParameters::OctetKey(_) => None,
        _ => return Err("its kty is not known"),
    };
    let named = jwk.common.key_algorithm.map(KeyAlgorithm::try_into).transpose();
    let named: Option<Algorithm> = named.map_err(|_| "its alg is not one of signatures")?;
    let key = DecodingKey::from_jwk(jwk).map_err(|_| "its parameters cannot be decoded")?;
    match (of_curve, named) {
        (Some(of_curve), Some(named)) if of_curve != named => Err("its alg is not its curve's"),
        (_, Some(named)) if named.family() != key.family() => Err("its alg is not its kty's"),
        _ => Ok((named.or(of_curve), key)),
    }
}

impl From<DecodingKey> for Keys {
    fn from(key: DecodingKey) -> Self {
        Self::one(Key { id: None, algorithm: None, key, in_set: false })
    }
}

impl From<&JwkSet> for Keys {
    fn from(set: &JwkSet) -> Self {
        let mut keys = Self::default();
        set.keys.iter().for_each(|jwk| keys.add(jwk));
        keys
    }
}

impl From<JwkSet> for Keys {
    fn from(set: JwkSet) -> Self {
        Self::from(&set)
    }
}

/// Names and algorithms alone.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("keys", &self.keys).field("skipped", &self.skipped).finish()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skipped(member: &str) -> String {
        let keys = Keys::from_json(format!(r#"{{"keys": [{member}]}}"#)).unwrap();
        assert!(keys.keys.is_empty(), "{member}");
        keys.skipped[0].to_string()
    }

    #[test]
    fn bad_members_are_skipped_one_by_one() {
        let rsa = r#""kty": "RSA", "n": "AQAB", "e": "AQAB""#;
        assert!(
            skipped(&format!(r#"{{{rsa}, "kid": "a", "use": "enc"}}"#)).contains("\"a\": its use")
        );
        assert!(skipped(&format!(r#"{{{rsa}, "key_ops": ["sign"]}}"#)).contains("key_ops"));
        assert!(skipped(&format!(r#"{{{rsa}, "alg": "RSA-OAEP-256"}}"#)).contains("alg"));
        assert!(skipped(&format!(r#"{{{rsa}, "alg": "ES256"}}"#)).contains("kty"));
        assert!(
            skipped(r#"{"kty": "EC", "crv": "P-521", "x": "AQ", "y": "AQ"}"#).contains("curve")
        );
        let confused = r#"{"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ", "alg": "ES384"}"#;
        assert!(skipped(confused).contains("curve"));
        assert!(skipped(r#"{"kty": "OKP", "crv": "X25519", "x": "AQ"}"#).contains("key"));
        assert!(skipped(r#"{"kty": "LWE", "kid": "q"}"#).contains("kty"));
        assert!(skipped(r#"{"kty": "RSA", "kid": 7}"#).contains("no JWK"));
        assert!(skipped("42").contains("no JWK"));
    }

    #[test]
    fn good_members_survive_bad_ones() {
        let set = r#"{"keys": [1, {"kty": "OKP", "crv": "Ed25519", "x": "AQ", "alg": "Ed25519"}], "x": 1}"#;
        let keys = Keys::from_json(set).unwrap();
        assert_eq!((keys.keys.len(), keys.skipped.len()), (1, 1));
        assert_eq!(keys.keys[0].algorithm, Some(Algorithm::EdDSA));
        assert!(Keys::from_json("[]").is_err() && Keys::from_json("{").is_err());
    }
}
