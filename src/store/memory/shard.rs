use std::{collections::BTreeMap, ops::Bound};

use super::stored::Stored;

/// A part of the records of a purpose, behind one lock.
///
/// It is a tree, because no operation on a tree takes long: a hash table moves all records when it
/// grows, and cannot continue a sweep where it stopped.
#[derive(Default)]
pub(super) struct Shard {
    records: BTreeMap<[u8; 32], Stored>,
    /// The key at which the last sweep stopped.
    swept_to: Option<[u8; 32]>,
}

impl Shard {
    /// How many records a write looks at to remove those that have expired. As a write adds at most
    /// one record, few expired ones remain.
    const SWEEP: usize = 16;

    /// Returns the record, also if it has expired.
    pub(super) fn get(&self, key: &[u8; 32]) -> Option<&Stored> {
        self.records.get(key)
    }

    pub(super) fn live(&self, key: &[u8; 32], now: u64) -> Option<&Stored> {
        self.get(key).filter(|stored| stored.is_live(now))
    }

    pub(super) fn set(&mut self, key: [u8; 32], stored: Stored) {
        self.records.insert(key, stored);
    }

    pub(super) fn remove(&mut self, key: &[u8; 32]) -> Option<Stored> {
        self.records.remove(key)
    }

    /// Removes some of the records that have expired. Returns how many bytes they took.
    pub(super) fn sweep(&mut self, now: u64) -> usize {
        let (freed, next) =
            self.remove_some(self.swept_to, Self::SWEEP, |_, stored| !stored.is_live(now));
        self.swept_to = next;
        freed
    }

    /// Looks at the next `count` records after a key, and removes some of them. Returns how many
    /// bytes they took, and the last key, or `None` at the end.
    pub(super) fn remove_some(
        &mut self,
        after: Option<[u8; 32]>,
        count: usize,
        is_removed: impl Fn(&[u8; 32], &Stored) -> bool,
    ) -> (usize, Option<[u8; 32]>) {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (mut removed, mut seen, mut last) = (Vec::new(), 0, None);
        for (key, stored) in self.records.range((start, Bound::Unbounded)).take(count) {
            if is_removed(key, stored) {
                removed.push(*key);
            }
            (seen, last) = (seen + 1, Some(*key));
        }
        let freed = removed.iter().filter_map(|key| self.records.remove(key));
        let freed = freed.map(|stored| stored.bytes()).sum();
        (freed, last.filter(|_| seen == count))
    }

    /// Returns a few records.
    pub(super) fn sample(&self, count: usize) -> impl Iterator<Item = &Stored> {
        self.records.values().take(count)
    }
}
