//! The configured keys, before they are prepared for verification.

use std::{borrow::Cow, fmt};

#[cfg(feature = "jwks")]
use jsonwebtoken::AlgorithmFamily;
use jsonwebtoken::{Algorithm, DecodingKey, jwk::JwkSet};
use serde_json::Value;

use super::{
    jwk::{self, ParsedJwk},
    skipped::SkippedKey,
};
use crate::{config_error::ConfigError, json::without_byte_order_mark};

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
    /// Members of key sets whose `use` is not `sig`, with their `use`.
    other_uses: Vec<(Box<str>, Key)>,
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
    /// Whether the private key was beside this one.
    #[cfg_attr(not(feature = "jwks"), allow(dead_code))]
    pub(super) has_private_part: bool,
}

impl Key {
    /// Creates a key that is configured individually.
    pub(crate) fn new(algorithm: Option<Algorithm>, key: DecodingKey) -> Self {
        Self { id: None, algorithm, key, from_set: false, has_private_part: false }
    }
}

impl Keys {
    /// Creates a single key for one algorithm.
    #[must_use]
    pub fn new(algorithm: Algorithm, key: DecodingKey) -> Self {
        Self::single(Key::new(Some(algorithm), key))
    }

    /// Creates a single key for one algorithm, with an id that matches the `kid` of tokens.
    pub fn named(id: impl Into<Box<str>>, algorithm: Algorithm, key: DecodingKey) -> Self {
        Self::new(algorithm, key).with_id(id)
    }

    /// Sets the id of these keys, which matches the `kid` of tokens.
    ///
    /// At most four keys can have the same id and algorithm. For a fifth, `build` returns an error;
    /// in a key set, it is skipped. The docs of the type have an example.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<Box<str>>) -> Self {
        let id = id.into();
        let other_uses = self.other_uses.iter_mut().map(|(_, key)| key);
        for key in self.keys.iter_mut().chain(other_uses) {
            key.id = Some(id.clone());
        }
        self
    }

    /// Parses a JWK set from JSON (RFC 7517 §5).
    ///
    /// Members that cannot be used are skipped and reported by
    /// [`JwtAuth::skipped_keys`](crate::JwtAuth::skipped_keys). [The guide][guide] lists the
    /// reasons. Members that a key does not need, such as `x5c`, are not read.
    ///
    /// [guide]: https://docs.rs/tower-auth/latest/tower_auth/guide/keys/
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not a JSON object with an array `keys`. It can start with a
    /// byte order mark.
    pub fn from_json(json: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let not_a_set = || {
            ConfigError::key(
                "not a JWK set: expected a JSON object with an array \"keys\"; for an object that \
                 maps each kid to a PEM text, call from_pem_map",
            )
        };
        let json = without_byte_order_mark(json.as_ref());
        let set: Value = serde_json::from_slice(json).map_err(|_| not_a_set())?;
        let members = set.get("keys").and_then(Value::as_array).ok_or_else(not_a_set)?;
        let mut keys = Self::default();
        members.iter().for_each(|member| keys.add(member));
        Ok(keys)
    }

    /// Accepts the keys of a JWK set whose `use` is `name`, besides those with `sig` or without
    /// `use`.
    ///
    /// Call it after the keys were read. SPIFFE names the use of its keys `jwt-svid`:
    ///
    /// ```
    /// use tower_auth::jwt::Keys;
    ///
    /// let bundle = r#"{"keys": []}"#;
    /// let keys = Keys::from_json(bundle)?.allow_use("jwt-svid");
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    ///
    /// # Security
    ///
    /// Name only a use with which the issuer marks keys for tokens. Keys for encryption (`enc`) are
    /// skipped in any case.
    #[must_use]
    pub fn allow_use(mut self, name: &str) -> Self {
        let allowed = self.other_uses.extract_if(.., |(other, _)| **other == *name);
        self.keys.extend(allowed.map(|(_, key)| key));
        self
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
        self.other_uses.extend(others.other_uses);
        self
    }

    /// Removes HMAC secrets, and keys whose private part is in the set. Everyone who can read a
    /// published key set could sign with them.
    #[cfg(feature = "jwks")]
    pub(crate) fn without_secrets(mut self) -> Self {
        let is_secret =
            |key: &mut Key| key.key.family() == AlgorithmFamily::Hmac || key.has_private_part;
        for key in self.keys.extract_if(.., is_secret) {
            let reason = match key.has_private_part {
                true => "its private part is published, so anyone can sign with it",
                false => "its kty is oct: a published key set must not contain secrets",
            };
            self.skipped.push(SkippedKey { id: key.id, reason: reason.into() });
        }
        self
    }

    /// Skips the keys whose `use` was not allowed.
    pub(crate) fn skip_other_uses(mut self) -> Self {
        for (_, key) in std::mem::take(&mut self.other_uses) {
            self.skip(key.id, "its use is not sig");
        }
        self
    }

    /// Returns whether no key was configured, not even an unusable one.
    #[cfg(feature = "jwks")]
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.skipped.is_empty() && self.other_uses.is_empty()
    }

    fn single(key: Key) -> Self {
        Self { keys: vec![key], ..Self::default() }
    }

    pub(super) fn skip(&mut self, id: Option<Box<str>>, reason: impl Into<Cow<'static, str>>) {
        self.skipped.push(SkippedKey { id, reason: reason.into() });
    }

    /// Adds a member of a JWK set.
    fn add(&mut self, member: &Value) {
        let id = jwk::key_id(member);
        let ParsedJwk { algorithm, key, other_use, has_private_part } = match jwk::parse(member) {
            Ok(parsed) => parsed,
            Err(reason) => return self.skip(id, reason),
        };
        let key = Key { id, algorithm, key, from_set: true, has_private_part };
        match other_use {
            None => self.keys.push(key),
            Some(other) => self.other_uses.push((other, key)),
        }
    }
}

impl From<DecodingKey> for Keys {
    fn from(key: DecodingKey) -> Self {
        Self::single(Key::new(None, key))
    }
}

impl From<&JwkSet> for Keys {
    fn from(set: &JwkSet) -> Self {
        let mut keys = Self::default();
        for jwk in &set.keys {
            // It is written as JSON and read again, so that the same rules apply to all sets.
            keys.add(&serde_json::to_value(jwk).unwrap_or_default());
        }
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
        f.debug_struct("Keys")
            .field("keys", &self.keys)
            .field("skipped", &self.skipped)
            .field("other_uses", &self.other_uses)
            .finish()
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
        keys.skip_other_uses().skipped[0].to_string()
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
