//! The document with the keys of an issuer, as it is stored.

use std::{collections::HashSet, fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use super::keys_error::KeysError;
use crate::{jwt::crypto::signer::Signer, random::random_bytes};

pub(super) const MAX_BYTES: usize = 64 * 1024;
/// The most keys that sign tokens, and the most that authenticate refresh tokens.
pub(super) const MAX_KEYS: usize = 16;

const VERSION: u32 = 1;
/// The end of the year 9999.
pub(super) const MAX_INSTANT: u64 = 253_402_300_799;

/// All keys of an issuer, each list in the order in which its keys become active.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyDocument {
    version: u32,
    /// How often the document was copied to another secret of the store.
    pub(super) copies: u32,
    /// The keys that sign access tokens.
    pub(super) signing: Vec<StoredKey>,
    /// The keys that authenticate refresh tokens.
    pub(super) mac: Vec<StoredKey>,
}

/// A key, with instants in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredKey {
    pub(super) id: Box<str>,
    pub(super) algorithm: Algorithm,
    pub(super) key: KeyBytes,
    pub(super) created_at: u64,
    pub(super) active_from: u64,
}

/// A private key in DER, or a secret. As text, it is base64url.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct KeyBytes(Arc<Zeroizing<Vec<u8>>>);

impl KeyDocument {
    pub(super) fn empty() -> Self {
        Self { version: VERSION, copies: 0, signing: Vec::new(), mac: Vec::new() }
    }

    /// Parses a document, and checks everything except the keys themselves.
    pub(super) fn parse(json: &[u8]) -> Result<Self, KeysError> {
        if json.len() > MAX_BYTES {
            return Err(unreadable("it is longer than 64 KiB"));
        }
        // The message of serde_json could contain a part of a key.
        let document: Self = serde_json::from_slice(json).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            unreadable(format!("it is not a document of keys ({place})"))
        })?;
        document.check()?;
        Ok(document)
    }

    fn check(&self) -> Result<(), KeysError> {
        if self.version != VERSION {
            return Err(unreadable("another version of this crate wrote it"));
        }
        let mut ids = HashSet::new();
        for keys in [&self.signing, &self.mac] {
            if keys.len() > MAX_KEYS {
                return Err(unreadable("it has too many keys"));
            }
            if !keys.is_sorted_by_key(|key| key.active_from) {
                return Err(unreadable("its keys are not in order"));
            }
            if keys.iter().any(|key| key.active_from > MAX_INSTANT) {
                return Err(unreadable("an instant is out of range"));
            }
            if !keys.iter().all(|key| is_id(&key.id) && ids.insert(&key.id)) {
                return Err(unreadable("the id of a key is malformed or occurs twice"));
            }
        }
        if !self.mac.iter().all(StoredKey::is_mac) {
            return Err(unreadable("a MAC key has another form"));
        }
        Ok(())
    }

    pub(super) fn to_json(&self) -> Result<Zeroizing<Vec<u8>>, KeysError> {
        // The capacity is fixed, so that no copy of the keys remains in memory.
        let mut json = Zeroizing::new(Vec::with_capacity(MAX_BYTES));
        serde_json::to_writer(&mut *json, self).map_err(|_| too_long())?;
        if json.len() > MAX_BYTES { Err(too_long()) } else { Ok(json) }
    }

    /// Returns the ids of all keys.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.signing.iter().chain(&self.mac).map(|key| &*key.id)
    }
}

impl StoredKey {
    pub(super) fn generate(
        algorithm: Algorithm,
        now: u64,
        active_from: u64,
    ) -> Result<Self, KeysError> {
        let id = URL_SAFE_NO_PAD.encode(random_bytes::<8>()).into();
        let key = KeyBytes(Arc::new(Signer::generate(algorithm)?.to_der()?));
        Ok(Self { id, algorithm, key, created_at: now, active_from })
    }

    pub(super) fn signer(&self) -> Result<Signer, KeysError> {
        Ok(Signer::from_der(self.algorithm, &self.key.0)?)
    }

    /// Returns the secret of a MAC key.
    pub(super) fn secret(&self) -> Option<&[u8; 32]> {
        self.key.0.as_slice().try_into().ok()
    }

    fn is_mac(&self) -> bool {
        self.algorithm == Algorithm::HS256 && self.secret().is_some()
    }
}

/// An id is part of refresh tokens, where a dot separates the parts.
fn is_id(id: &str) -> bool {
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=64).contains(&id.len()) && id.bytes().all(is_base64url)
}

fn unreadable(reason: impl Into<String>) -> KeysError {
    KeysError::new(
        "the signing keys cannot be read: restore them from a backup, or delete them, \
                    which ends all sessions",
    )
    .with_source(reason.into())
}

fn too_long() -> KeysError {
    KeysError::new("the document of the signing keys is too long")
}

impl Serialize for KeyBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(URL_SAFE_NO_PAD.encode(self.0.as_slice())))
    }
}

impl<'de> Deserialize<'de> for KeyBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = KeyBytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key in base64url")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<KeyBytes, E> {
                let bytes = URL_SAFE_NO_PAD.decode(text);
                let bytes = bytes.map_err(|_| E::custom("a key is not base64url"))?;
                Ok(KeyBytes(Arc::new(Zeroizing::new(bytes))))
            }
        }

        deserializer.deserialize_str(Visitor)
    }
}

/// Hides the key.
impl fmt::Debug for KeyBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyBytes(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> KeyDocument {
        let key =
            |algorithm, active_from| StoredKey::generate(algorithm, 100, active_from).unwrap();
        KeyDocument {
            signing: vec![key(Algorithm::EdDSA, 100), key(Algorithm::ES256, 200)],
            mac: vec![key(Algorithm::HS256, 100)],
            ..KeyDocument::empty()
        }
    }

    fn parse(document: &KeyDocument) -> Result<KeyDocument, KeysError> {
        KeyDocument::parse(&document.to_json().unwrap())
    }

    #[test]
    fn document_is_read_as_it_was_written() {
        let document = document();
        assert_eq!(parse(&document).unwrap(), document);
        let debug = format!("{document:?}");
        let json = document.to_json().unwrap();
        let json = str::from_utf8(&json).unwrap();
        let keys = json.split("\"key\":\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        for key in keys {
            assert!(key.len() > 40 && !debug.contains(key), "{debug}");
        }
    }

    #[test]
    fn secret_of_a_mac_key_is_its_stored_key() {
        let [one, other] = [100, 200].map(|at| StoredKey::generate(Algorithm::HS256, at, at));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!(one.secret().unwrap().as_slice(), one.key.0.as_slice());
        assert_ne!(one.secret(), other.secret());
        assert!(StoredKey::generate(Algorithm::EdDSA, 100, 100).unwrap().secret().is_none());
    }

    #[test]
    fn document_with_16_rsa_keys_is_not_too_long() {
        let rsa = StoredKey::generate(Algorithm::RS256, 100, 100).unwrap();
        let number = |number| StoredKey { id: format!("key-{number}").into(), ..rsa.clone() };
        let document = KeyDocument { signing: (0..16).map(number).collect(), ..document() };
        assert_eq!(parse(&document).unwrap(), document);
    }

    #[test]
    fn document_that_violates_a_rule_is_an_error() {
        type Change = fn(&mut KeyDocument);
        let changes: [(Change, &str); 9] = [
            (|it| it.version = 2, "version"),
            (|it| it.signing.swap(0, 1), "not in order"),
            (|it| it.signing[1].active_from = u64::MAX, "out of range"),
            (|it| it.signing[1].id = it.signing[0].id.clone(), "occurs twice"),
            (|it| it.signing[0].id = it.mac[0].id.clone(), "occurs twice"),
            (|it| it.mac[0].id = "a.b".into(), "malformed"),
            (|it| it.mac[0].id = "".into(), "malformed"),
            (|it| it.mac[0] = StoredKey { id: "x".into(), ..it.signing[0].clone() }, "MAC key"),
            (|it| it.mac = vec![it.mac[0].clone(); 17], "too many"),
        ];
        for (change, reason) in changes {
            let mut document = document();
            change(&mut document);
            let error = parse(&document).unwrap_err();
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert!(source.contains(reason), "{source}");
        }
    }

    #[test]
    fn private_key_that_is_damaged_is_an_error() {
        let mut document = document();
        document.signing[0].key = document.mac[0].key.clone();
        assert!(parse(&document).unwrap().signing[0].signer().is_err());
        document.signing[0].key = document.signing[1].key.clone();
        assert!(parse(&document).unwrap().signing[0].signer().is_err());
    }
}
