use std::fmt;

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::keys::{mac_key::MacKey, snapshot::Snapshot};
use crate::random::random_bytes;

/// The contents of a refresh token: `family.generation.key-id.MAC`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct RefreshToken {
    pub(super) family: FamilyId,
    pub(super) generation: u64,
}

/// Identifies the tokens of one login. It is only in its refresh tokens, and stored nowhere.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct FamilyId([u8; 16]);

/// A refresh token whose MAC was not verified yet.
pub(super) struct SentToken<'a> {
    token: RefreshToken,
    key_id: &'a str,
    mac: [u8; 32],
}

/// Separates these MACs from others.
const LABEL: &[u8] = b"tower-auth refresh token";

/// The longest id of a key in a document of keys.
const MAX_KEY_ID: usize = 64;

impl FamilyId {
    pub(super) fn random() -> Self {
        Self(random_bytes())
    }

    /// Returns the `sid` of the access tokens.
    pub(super) fn sid(self) -> String {
        let hash = digest::digest(&digest::SHA256, &[b"sid", &self.0[..]].concat());
        URL_SAFE_NO_PAD.encode(hash.as_ref().get(..16).unwrap_or_default())
    }
}

impl RefreshToken {
    /// Returns the text of the token.
    pub(super) fn encode(&self, key: &MacKey) -> String {
        let family = URL_SAFE_NO_PAD.encode(self.family.0);
        let generation = self.generation.to_be_bytes();
        let mac = key.sign(&[LABEL, key.id.as_bytes(), &self.family.0, &generation]);
        format!("{family}.{}.{}.{}", self.generation, key.id, URL_SAFE_NO_PAD.encode(mac))
    }
}

impl<'a> SentToken<'a> {
    /// Parses a token. There is one text for each token.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split('.');
        let [family, generation, key_id, mac] =
            [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
        let is_canonical = generation == "0" || !generation.starts_with('0');
        if parts.next().is_some()
            || key_id.is_empty()
            || key_id.len() > MAX_KEY_ID
            || !is_canonical
            || !generation.bytes().all(|byte| byte.is_ascii_digit())
        {
            return None;
        }
        let token = RefreshToken {
            family: FamilyId(decode(family)?),
            generation: generation.parse().ok()?,
        };
        Some(Self { token, key_id, mac: decode(mac)? })
    }

    pub(super) fn key_id(&self) -> &str {
        self.key_id
    }

    /// Returns the token if one of the keys has authenticated it.
    pub(super) fn verify(&self, keys: &Snapshot) -> Option<RefreshToken> {
        let generation = self.token.generation.to_be_bytes();
        let fields = [LABEL, self.key_id.as_bytes(), &self.token.family.0, &generation];
        keys.mac(self.key_id)?.verify(&fields, &self.mac).then_some(self.token)
    }
}

/// Decodes canonical base64url of exactly this length.
fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    // The decoder rejects padding and nonzero trailing bits.
    if text.len() != (N * 4).div_ceil(3) {
        return None;
    }
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

/// Hides the token.
impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshToken").field("generation", &self.generation).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_key_id_is_parsed() {
        let parsed = |length| {
            let (family, mac) = ("A".repeat(22), "A".repeat(43));
            SentToken::parse(&format!("{family}.0.{}.{mac}", "k".repeat(length))).is_some()
        };
        assert!(parsed(1) && parsed(MAX_KEY_ID));
        assert!(!parsed(0) && !parsed(MAX_KEY_ID + 1));
    }
}
