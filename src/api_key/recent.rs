//! What this process remembers about the keys of recent requests.

use std::{
    convert::Infallible,
    hash::RandomState,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use quick_cache::{UnitWeighter, sync::Cache};

use crate::clock::{Clock, Deadline, saturating_add};

/// SHA-256 of a key. The tables hash it with a random key, because clients can choose keys whose
/// digests begin with the same bytes.
pub(super) type Digest = [u8; 32];

/// The keys that this process has accepted.
pub(super) struct AcceptedKeys(Table<Arc<Deadline>>);

/// The keys that were not in the store a short time ago.
pub(super) struct UnknownKeys(Table<Duration>);

type Table<V> = Cache<Digest, V, UnitWeighter, RandomState>;

/// How many keys the tables have. When one is full, rarely used entries are evicted.
///
/// Clients can add unknown keys, but only the service creates keys that are accepted.
const MAX_ACCEPTED: usize = 262_144;
const MAX_UNKNOWN: usize = 65_536;
/// How often the use of a key is reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);
/// A key may be created on another instance, and a replica of a database is behind.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);

fn new_table<V: Clone>(capacity: usize) -> Table<V> {
    let weight = u64::try_from(capacity).unwrap_or(u64::MAX);
    Cache::with(capacity, weight, UnitWeighter, RandomState::new(), Default::default())
}

impl AcceptedKeys {
    pub(super) fn new() -> Self {
        Self(new_table(MAX_ACCEPTED))
    }

    /// Returns when the next use of a key is reported, if the key was accepted.
    pub(super) fn get(&self, key: &Digest) -> Option<Arc<Deadline>> {
        self.0.get(key)
    }

    /// Adds a key, and returns when its next use is reported.
    pub(super) fn add(&self, key: &Digest) -> Arc<Deadline> {
        let added =
            self.0.get_or_insert_with(key, || Ok::<_, Infallible>(Arc::new(Deadline::passed())));
        match added {
            Ok(next_report) => next_report,
        }
    }

    pub(super) fn remove(&self, key: &Digest) {
        self.0.remove(key);
    }
}

/// Returns `true` to one of the requests with a key per minute.
pub(super) fn claim_report(next_report: &Deadline, clock: &dyn Clock) -> bool {
    next_report.claim(saturating_add(UNIX_EPOCH, clock.elapsed()), REPORT_INTERVAL)
}

impl UnknownKeys {
    pub(super) fn new() -> Self {
        Self(new_table(MAX_UNKNOWN))
    }

    pub(super) fn add(&self, key: &Digest, clock: &dyn Clock) {
        self.0.insert(*key, clock.elapsed());
    }

    pub(super) fn contains(&self, key: &Digest, clock: &dyn Clock) -> bool {
        let Some(added_at) = self.0.get(key) else { return false };
        // An entry from the future dates from before a mock clock was set back.
        let age = clock.elapsed().checked_sub(added_at);
        age.is_some_and(|age| age < UNKNOWN_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn tables_are_bounded() {
        let (accepted, unknown) = (AcceptedKeys::new(), UnknownKeys::new());
        for number in 0_u32..400_000 {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&number.to_le_bytes());
            accepted.add(&key);
            unknown.add(&key, &SystemClock);
        }
        assert!(accepted.0.len() <= MAX_ACCEPTED, "{}", accepted.0.len());
        assert!(unknown.0.len() <= MAX_UNKNOWN, "{}", unknown.0.len());
    }
}
