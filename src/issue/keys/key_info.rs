use std::time::SystemTime;

use jsonwebtoken::Algorithm;

/// A key of a `TokenIssuer`, without the key itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    pub(super) id: Box<str>,
    pub(super) key_use: KeyUse,
    pub(super) algorithm: Algorithm,
    pub(super) state: KeyState,
    pub(super) active_from: Option<SystemTime>,
}

/// What a key of an issuer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyUse {
    /// It signs access tokens.
    Signing,
    /// It authenticates refresh tokens.
    Mac,
}

/// The part of its life that a key of an issuer is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyState {
    /// It is published and not used yet.
    Successor,
    /// New tokens are created with it.
    Active,
    /// It only verifies the tokens that it has created.
    Retained,
}

impl KeyInfo {
    /// Returns the id of the key: the `kid` of access tokens, or a part of refresh tokens.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns what the key is for.
    #[must_use]
    pub fn key_use(&self) -> KeyUse {
        self.key_use
    }

    /// Returns the algorithm of the key.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns the part of its life that the key is in.
    #[must_use]
    pub fn state(&self) -> KeyState {
        self.state
    }

    /// Returns when the key becomes or became active, or `None` if it does not rotate.
    #[must_use]
    pub fn active_from(&self) -> Option<SystemTime> {
        self.active_from
    }
}
