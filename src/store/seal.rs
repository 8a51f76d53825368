//! The cryptography of records: keyed keys and sealed values.
//!
//! The nonces are random, and one key seals all values until it is rotated. AES-GCM-SIV derives a
//! key for each nonce, so the number of values is not a practical limit, and a nonce that repeats
//! by chance reveals at most that two values of the same record are equal.

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    hmac,
};
use bytes::Bytes;
use zeroize::Zeroizing;

use super::{
    error::{StoreError, StoreErrorKind},
    key::{Purpose, StoreKey},
};

/// The keys that one operator's secret derives.
#[derive(Clone)]
pub(crate) struct Keys {
    /// Names the secret in sealed values.
    id: [u8; 4],
    names: hmac::Key,
    values: std::sync::Arc<RandomizedNonceKey>,
}

/// The longest sealed value: 1 MiB and what sealing adds.
const MAX_SEALED: usize = (1 << 20) + 64;

impl Keys {
    pub(crate) fn derive(secret: &[u8; 32]) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derive = |label: &str| {
            let mut key = Zeroizing::new([0; 32]);
            key.copy_from_slice(hmac::sign(&secret, label.as_bytes()).as_ref());
            key
        };
        let [a, b, c, d, ..] = *derive("tower-auth store: key id");
        let values =
            RandomizedNonceKey::new(&AES_256_GCM_SIV, &*derive("tower-auth store: sealed values"));
        Self {
            id: [a, b, c, d],
            names: hmac::Key::new(hmac::HMAC_SHA256, &*derive("tower-auth store: record keys")),
            #[allow(clippy::expect_used)] // the key has the length of the algorithm
            values: std::sync::Arc::new(values.expect("AES-256 keys have 32 bytes")),
        }
    }

    /// Returns whether both were derived from the same secret.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let name = |keys: &Self| keys.name(Purpose::Revocation, "", &[]);
        name(self) == name(other)
    }

    /// Returns the key of a record. The parts are prefixed with their length, so that different
    /// lists of parts have different keys.
    pub(crate) fn name(&self, purpose: Purpose, kind: &str, parts: &[&[u8]]) -> StoreKey {
        let mut context = hmac::Context::with_key(&self.names);
        let labels = [purpose.as_str().as_bytes(), kind.as_bytes()];
        for part in labels.iter().chain(parts) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.sign().as_ref());
        StoreKey::new(purpose, bytes)
    }

    /// Encrypts a value for its key: key id, nonce, ciphertext, tag.
    pub(crate) fn seal(&self, key: &StoreKey, value: &[u8]) -> Result<Bytes, StoreError> {
        let mut sealed = value.to_vec();
        let nonce = self
            .values
            .seal_in_place_append_tag(aad(key), &mut sealed)
            .map_err(|_| StoreError::new(StoreErrorKind::Unreadable))?;
        Ok([&self.id[..], nonce.as_ref(), &sealed].concat().into())
    }

    /// Decrypts a value. Returns `None` if it was not sealed with these keys for this key.
    pub(crate) fn open(&self, key: &StoreKey, sealed: &[u8]) -> Option<Bytes> {
        let (id, rest) = sealed.split_at_checked(self.id.len())?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_LEN>()?;
        if id != self.id || sealed.len() > MAX_SEALED {
            return None;
        }
        let mut value = ciphertext.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.values.open_in_place(nonce, aad(key), &mut value).ok()?.len();
        value.truncate(length);
        Some(value.into())
    }
}

/// A value is valid only under its own key.
fn aad(key: &StoreKey) -> Aad<Vec<u8>> {
    Aad::from([key.purpose().as_str().as_bytes(), b":", key.as_bytes()].concat())
}
