//! The configured keys, before they are prepared for verification.

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

/// The keys that verify token signatures.
///
/// ```
/// use tower_auth::jwt::Keys;
///
/// # let (secret, old, new) = ([1; 32], [2; 32], [3; 32]);
/// let one = Keys::hs256(&secret);
/// // During a rotation, tokens name their key with `kid`:
/// let rotated = Keys::hs256(&new).with_id("2026-11").and(Keys::hs256(&old).with_id("2026-10"));
/// // A JWK set:
/// let published = Keys::from_json(r#"{"keys": []}"#)?;
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
///
/// Secrets can also be read [from the environment](Self::hs256_from_env) or
/// [from a file](Self::hs256_from_file), and public keys [from PEM](Self::rsa_pem). The types of
/// jsonwebtoken are accepted as well:
///
/// ```
/// use tower_auth::jwt::{Algorithm, DecodingKey, Keys};
///
/// # let (secret, set) = ([1; 64], jsonwebtoken::jwk::JwkSet { keys: vec![] });
/// let one = Keys::new(Algorithm::HS512, DecodingKey::from_secret(&secret));
/// let published = Keys::from(set);
/// ```
///
/// A key verifies only tokens with its own algorithm. If a key names no algorithm, it verifies
/// the algorithms of its family that [`algorithms`](crate::jwt::JwtAuthBuilder::algorithms) lists.
/// Without such a list, it verifies only `RS256` (RSA), `HS256` (HMAC) or the algorithm of its
/// curve. Prefer keys that name their algorithm (RFC 8725 §3.1).
///
/// A token with a `kid` is verified with the key that has this id. If no key has this id, it is
/// verified with a key without an id, but only if exactly one of those matches the `alg`. A token
/// without a `kid` is verified only if exactly one key matches its `alg`.
#[derive(Clone, Default)]
pub struct Keys {
    pub(crate) keys: Vec<Key>,
    pub(crate) skipped: Vec<SkippedKey>,
}

#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) id: Option<Box<str>>,
    /// The only algorithm of the key, if the key names one.
    pub(crate) algorithm: Option<Algorithm>,
    pub(crate) key: DecodingKey,
    /// Whether the key comes from a key set. An unusable key of a set is skipped; an unusable key
    /// that was configured individually is an error.
    pub(crate) from_set: bool,
}

impl Keys {
    /// Creates a single key for one algorithm.
    #[must_use]
    pub fn new(algorithm: Algorithm, key: DecodingKey) -> Self {
        Self::single(Key { id: None, algorithm: Some(algorithm), key, from_set: false })
    }

    /// Creates a single key for one algorithm, with an id that matches the `kid` of tokens.
    pub fn named(id: impl Into<Box<str>>, algorithm: Algorithm, key: DecodingKey) -> Self {
        Self::single(Key { id: Some(id.into()), algorithm: Some(algorithm), key, from_set: false })
    }

    /// Sets the id of these keys, which matches the `kid` of tokens.
    ///
    /// At most four keys can have the same id and algorithm. For a fifth, `build` returns an error;
    /// in a key set, it is skipped. The docs of the type have an example.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<Box<str>>) -> Self {
        let id = id.into();
        for key in &mut self.keys {
            key.id = Some(id.clone());
        }
        self
    }

    /// Parses a JWK set from JSON (RFC 7517 §5).
    ///
    /// Members that cannot be used are skipped and reported by
    /// [`JwtAuth::skipped_keys`](crate::JwtAuth::skipped_keys).
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not a JSON object with an array `keys`.
    pub fn from_json(json: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let not_a_set =
            || ConfigError::key("not a JWK set: expected a JSON object with an array \"keys\"");
        let mut set: Value = serde_json::from_slice(json.as_ref()).map_err(|_| not_a_set())?;
        let members = set.get_mut("keys").and_then(Value::as_array_mut).ok_or_else(not_a_set)?;
        let mut keys = Self::default();
        for mut member in members.drain(..) {
            // jsonwebtoken does not support the name of RFC 9864.
            if let Some(algorithm) = member.get_mut("alg").filter(|name| **name == "Ed25519") {
                *algorithm = Value::from("EdDSA");
            }
            let id = member.get("kid").and_then(Value::as_str).map(Box::from);
            match serde_json::from_value::<Jwk>(member) {
                Ok(jwk) => keys.add(&jwk),
                Err(_) => keys.skip(id, "it is not a JWK"),
            }
        }
        Ok(keys)
    }

    /// Adds other keys to these keys.
    ///
    /// # Security
    ///
    /// The holder of any of the keys can sign tokens for all issuers that the authenticator
    /// accepts.
    #[must_use]
    pub fn and(mut self, others: impl Into<Self>) -> Self {
        let others = others.into();
        self.keys.extend(others.keys);
        self.skipped.extend(others.skipped);
        self
    }

    /// Removes HMAC secrets. A published key set cannot contain secrets.
    #[cfg(feature = "jwks")]
    pub(crate) fn without_secrets(mut self) -> Self {
        let is_secret = |key: &mut Key| key.key.family() == AlgorithmFamily::Hmac;
        for key in self.keys.extract_if(.., is_secret) {
            let reason = "its kty is oct: a published key set must not contain secrets".into();
            self.skipped.push(SkippedKey { id: key.id, reason });
        }
        self
    }

    /// Returns whether no key was configured, not even an unusable one.
    #[cfg(feature = "jwks")]
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.skipped.is_empty()
    }

    fn single(key: Key) -> Self {
        Self { keys: vec![key], skipped: Vec::new() }
    }

    fn skip(&mut self, id: Option<Box<str>>, reason: &'static str) {
        self.skipped.push(SkippedKey { id, reason: reason.into() });
    }

    fn add(&mut self, jwk: &Jwk) {
        let id = jwk.common.key_id.as_deref().map(Box::from);
        match parse_jwk(jwk) {
            Ok((algorithm, key)) => self.keys.push(Key { id, algorithm, key, from_set: true }),
            Err(reason) => self.skip(id, reason),
        }
    }
}

/// Returns the algorithm and the key of a member of a set, or why it cannot be used (RFC 7517 §4,
/// §5).
fn parse_jwk(jwk: &Jwk) -> Result<(Option<Algorithm>, DecodingKey), &'static str> {
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return Err("its use is not sig");
    }
    if let Some(operations) = &jwk.common.key_operations
        && !operations.contains(&KeyOperations::Verify)
    {
        return Err("its key_ops do not include verify");
    }
    let curve_algorithm = match &jwk.algorithm {
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
        _ => return Err("its kty is not supported"),
    };
    let declared = jwk.common.key_algorithm.map(KeyAlgorithm::try_into).transpose();
    let declared: Option<Algorithm> =
        declared.map_err(|_| "its alg is not a signature algorithm")?;
    let key = DecodingKey::from_jwk(jwk).map_err(|_| "its parameters cannot be decoded")?;
    match (curve_algorithm, declared) {
        (Some(expected), Some(declared)) if expected != declared => {
            Err("its alg does not match its curve")
        }
        (_, Some(declared)) if declared.family() != key.family() => {
            Err("its alg does not match its kty")
        }
        _ => Ok((declared.or(curve_algorithm), key)),
    }
}

impl From<DecodingKey> for Keys {
    fn from(key: DecodingKey) -> Self {
        Self::single(Key { id: None, algorithm: None, key, from_set: false })
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

/// Prints ids and algorithms, but no key material.
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
    fn unusable_members_are_skipped_with_a_reason() {
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
        assert!(skipped(r#"{"kty": "RSA", "kid": 7}"#).contains("not a JWK"));
        assert!(skipped("42").contains("not a JWK"));
    }

    #[test]
    fn usable_members_are_kept_beside_unusable_ones() {
        let set = r#"{"keys": [1, {"kty": "OKP", "crv": "Ed25519", "x": "AQ", "alg": "Ed25519"}], "x": 1}"#;
        let keys = Keys::from_json(set).unwrap();
        assert_eq!((keys.keys.len(), keys.skipped.len()), (1, 1));
        assert_eq!(keys.keys[0].algorithm, Some(Algorithm::EdDSA));
        assert!(Keys::from_json("[]").is_err() && Keys::from_json("{").is_err());
    }
}
