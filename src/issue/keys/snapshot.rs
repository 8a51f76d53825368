use bytes::Bytes;
use serde_json::json;

use super::{key_ring::KeysError, mac_key::MacKey, signing_key::SigningKey};

/// The keys at one time.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) signing: Vec<SigningKey>,
    pub(crate) macs: Vec<MacKey>,
}

impl Snapshot {
    /// Returns an access token with this payload, signed by the active key.
    pub(crate) fn sign(&self, payload: &[u8]) -> Result<String, KeysError> {
        let active =
            self.signing.first().ok_or_else(|| KeysError::new("there is no active key"))?;
        active.sign(payload)
    }

    /// Returns the key that authenticates new refresh tokens.
    pub(crate) fn active_mac(&self) -> Result<&MacKey, KeysError> {
        self.macs.first().ok_or_else(|| KeysError::new("there is no active key"))
    }

    /// Returns the key with this id, if its refresh tokens are still accepted.
    pub(crate) fn mac(&self, id: &str) -> Option<&MacKey> {
        self.macs.iter().find(|key| *key.id == *id)
    }

    /// Returns the JWK set to publish.
    pub(crate) fn jwks(&self) -> Bytes {
        let keys: Vec<_> = self.signing.iter().map(SigningKey::jwk).collect();
        json!({ "keys": keys }).to_string().into()
    }
}
