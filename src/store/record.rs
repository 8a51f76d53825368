use bytes::Bytes;

use super::key::{Groups, StoreKey};

/// The key of a record under the current secret, and under the previous one during a rotation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordKey {
    pub(crate) current: StoreKey,
    pub(crate) previous: Option<StoreKey>,
    /// Whether the record is a counter. Counters are not sealed.
    pub(crate) is_counter: bool,
}

/// One of the secrets of a store, which can have two during a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhichSecret {
    Current,
    Previous,
}

/// A record that was read.
#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) value: Bytes,
    /// The key under which it was found.
    pub(crate) key: StoreKey,
    /// The secret that the key belongs to, which has sealed the value.
    pub(crate) secret: WhichSecret,
    /// The value as stored, for `replace`.
    pub(crate) sealed: Bytes,
}

impl RecordKey {
    /// Marks writes as withdrawing access.
    pub(crate) fn withdrawing_access(self) -> Self {
        self.map(StoreKey::withdrawing_access)
    }

    pub(crate) fn in_groups(self, groups: Groups) -> Self {
        self.map(|key| key.in_groups(groups))
    }

    pub(crate) fn counter(self) -> Self {
        Self { is_counter: true, ..self }
    }

    /// Returns the keys, each with the secret that it belongs to.
    pub(crate) fn names(&self) -> impl Iterator<Item = (StoreKey, WhichSecret)> + use<> {
        let previous = self.previous.map(|key| (key, WhichSecret::Previous));
        [Some((self.current, WhichSecret::Current)), previous].into_iter().flatten()
    }

    /// Returns the key under the current secret only, for records that must exist only once: a
    /// process that has one of two secrets could not remove both.
    #[cfg(feature = "session")]
    pub(crate) fn only_current(self) -> Self {
        Self { previous: None, ..self }
    }

    fn map(self, f: impl Fn(StoreKey) -> StoreKey) -> Self {
        Self { current: f(self.current), previous: self.previous.map(f), ..self }
    }
}
