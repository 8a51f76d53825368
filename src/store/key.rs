use std::{
    fmt,
    hash::{Hash, Hasher},
};

/// What a record is for. A store can limit the space of each purpose on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Purpose {
    /// Revoked tokens, sessions and subjects.
    Revocation,
    /// Identifiers that are accepted once, such as those of logout tokens.
    Replay,
    /// Counters of login attempts.
    Throttle,
    /// Refresh tokens that were issued, by family.
    Family,
    /// Signing keys that instances share.
    Keys,
    /// Sessions of browsers.
    Session,
    /// Webhooks that were received.
    Webhook,
    /// DPoP proofs that were accepted.
    DpopProof,
    /// Opaque access tokens.
    AccessToken,
}

impl Purpose {
    /// All purposes.
    pub(crate) const ALL: [Self; 9] = [
        Self::Revocation,
        Self::Replay,
        Self::Throttle,
        Self::Family,
        Self::Keys,
        Self::Session,
        Self::Webhook,
        Self::DpopProof,
        Self::AccessToken,
    ];

    /// Returns the name of the purpose in lower case, for example for keys and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revocation => "revocation",
            Self::Replay => "replay",
            Self::Throttle => "throttle",
            Self::Family => "family",
            Self::Keys => "keys",
            Self::Session => "session",
            Self::Webhook => "webhook",
            Self::DpopProof => "dpop_proof",
            Self::AccessToken => "access_token",
        }
    }
}

/// The key of a record: a purpose and 32 bytes, which look random.
///
/// The bytes are an HMAC, so they reveal nothing. `Display` writes the purpose, a colon and the
/// bytes in hex, for stores whose keys are text:
///
/// ```
/// use tower_auth::store::{Purpose, StoreKey};
///
/// let key = StoreKey::new(Purpose::Throttle, [0xab; 32]);
/// assert!(key.to_string().starts_with("throttle:abab"));
/// ```
#[derive(Clone, Copy)]
pub struct StoreKey {
    purpose: Purpose,
    bytes: [u8; 32],
    withdraws_access: bool,
    /// For `Memory`.
    pub(crate) groups: Groups,
}

/// The groups of a revocation record: keyed hashes of its subject and its issuer.
///
/// If a store of limited size is full, the record of a whole group can replace those of its
/// members.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Groups {
    pub(crate) subject: Option<u64>,
    pub(crate) issuer: Option<u64>,
    /// The latest claim or instant, in milliseconds since 1970, that this record rejects. Only a
    /// record of a group that rejects as much can replace it.
    pub(crate) instant: u64,
    /// Whether this is the record of a whole group, and of which.
    pub(crate) replaces: Option<GroupKind>,
}

/// A group of revocation records, of which one record can replace all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupKind {
    Subject,
    Issuer,
}

impl StoreKey {
    /// Creates a key, for example to test a store.
    #[must_use]
    pub fn new(purpose: Purpose, bytes: [u8; 32]) -> Self {
        Self { purpose, bytes, withdraws_access: false, groups: Groups::default() }
    }

    /// Returns what the record is for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Returns the bytes that identify the record among those of its purpose.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Returns whether a write of this record withdraws access, as a logout does.
    ///
    /// A store with replicas can wait for them before it confirms such a write.
    #[must_use]
    pub fn withdraws_access(&self) -> bool {
        self.withdraws_access
    }

    pub(crate) fn withdrawing_access(self) -> Self {
        Self { withdraws_access: true, ..self }
    }

    pub(crate) fn in_groups(self, groups: Groups) -> Self {
        Self { groups, ..self }
    }
}

/// Keys are equal if the purpose and the bytes are.
impl PartialEq for StoreKey {
    fn eq(&self, other: &Self) -> bool {
        self.purpose == other.purpose && self.bytes == other.bytes
    }
}

impl Eq for StoreKey {}

impl Hash for StoreKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.purpose.hash(state);
        self.bytes.hash(state);
    }
}

impl fmt::Display for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.purpose.as_str())?;
        self.bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreKey({self})")
    }
}
