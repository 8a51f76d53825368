use aws_lc_rs::digest::{SHA256, digest};

/// SHA-256 of a token: the key of the tables, which contain no tokens.
///
/// An attacker cannot find two tokens with the same digest. The tables hash digests with a random
/// key, because clients can choose tokens whose digests begin with the same bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenDigest([u8; 32]);

impl TokenDigest {
    pub(super) fn of(token: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, token).as_ref());
        Self(bytes)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Creates a digest for a test of the tables.
    #[cfg(test)]
    pub(super) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}
