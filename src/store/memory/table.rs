use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    nearly_full::NearlyFull,
    quota::Quota,
    shard::Shard,
    stored::{Replaced, Stored},
};
use crate::{
    observe::{event::Event, observer::Observer},
    store::{
        error::{StoreError, StoreErrorKind},
        key::{GroupKind, StoreKey},
    },
};

/// The records of a purpose.
pub(super) struct Table {
    quota: Quota,
    shards: [Mutex<Shard>; Self::SHARDS],
    expiry_scans: ScanLimit,
    subject_scans: ScanLimit,
    issuer_scans: ScanLimit,
    nearly_full: NearlyFull,
}

/// Limits scans of all records to a small part of the time.
#[derive(Default)]
struct ScanLimit(Mutex<Option<(u64, Duration)>>);

impl Table {
    const SHARDS: usize = 64;
    /// How many records a scan looks at while it holds a lock.
    const CHUNK: usize = 256;
    /// How many records of each shard are looked at to estimate the share of an issuer.
    const SAMPLE: usize = 4;
    /// An issuer with a smaller share, in percent, is not worth logging all its callers out.
    const MAIN_ISSUER: usize = 25;

    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            quota: Quota::new(max_bytes),
            shards: std::array::from_fn(|_| Mutex::default()),
            expiry_scans: ScanLimit::default(),
            subject_scans: ScanLimit::default(),
            issuer_scans: ScanLimit::default(),
            nearly_full: NearlyFull::default(),
        }
    }

    pub(super) fn get(&self, key: &StoreKey, now: u64) -> Option<Bytes> {
        self.shard(key).live(key.as_bytes(), now).map(Stored::to_bytes)
    }

    pub(super) fn take(&self, key: &StoreKey, now: u64) -> Option<Bytes> {
        let stored = self.shard(key).remove(key.as_bytes())?;
        self.quota.release(stored.bytes());
        stored.is_live(now).then(|| stored.to_bytes())
    }

    /// Writes a record if the current one is the expected one. Returns whether it was written.
    pub(super) fn set(
        &self,
        key: &StoreKey,
        value: &[u8],
        expires_at: u64,
        now: u64,
        is_expected: impl Fn(Option<&Stored>) -> bool,
    ) -> Result<bool, StoreError> {
        let is_written = self.write(key, now, |shard| {
            let current = shard.live(key.as_bytes(), now);
            if !is_expected(current) {
                return Ok(false);
            }
            let mut groups = key.groups;
            // A record rejects all that it has ever rejected.
            groups.instant = groups.instant.max(current.map_or(0, Stored::instant));
            self.resize(shard, key, Stored::bytes_of(value))?;
            shard.set(*key.as_bytes(), Stored::new(value, &groups, expires_at));
            Ok(true)
        })?;
        if let Some(replaced) = Replaced::by(key).filter(|_| is_written) {
            self.remove_replaced(&replaced, now);
        }
        Ok(is_written)
    }

    /// Adds to a counter.
    pub(super) fn add(
        &self,
        key: &StoreKey,
        delta: i64,
        expires_at: u64,
        now: u64,
    ) -> Result<i64, StoreError> {
        self.write(key, now, |shard| {
            let unreadable = || StoreError::new(StoreErrorKind::Unreadable);
            let (count, expires_at) = match shard.live(key.as_bytes(), now) {
                Some(stored) => (stored.count().ok_or_else(unreadable)?, stored.expires_at),
                None => (0, expires_at),
            };
            let count = count.checked_add(delta).ok_or_else(unreadable)?;
            self.resize(shard, key, Stored::BYTES)?;
            shard.set(*key.as_bytes(), Stored::counter(count, expires_at));
            Ok(count)
        })
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.quota.used()
    }

    /// Reports once that the space is nearly used up. The caller must not hold a lock.
    pub(super) fn report(&self, key: &StoreKey, now: u64, observer: &Observer) {
        if self.nearly_full.is_due(&self.quota, now) {
            observer.observe(&Event::StoreNearlyFull { purpose: key.purpose() });
        }
    }

    /// Changes a shard. If there is no space, removes expired records and tries again.
    fn write<T>(
        &self,
        key: &StoreKey,
        now: u64,
        change: impl Fn(&mut Shard) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let result = {
            let mut shard = self.shard(key);
            self.quota.release(shard.sweep(now));
            change(&mut shard)
        };
        match result {
            Err(error) if error.kind() == StoreErrorKind::Full => {
                let is_expired = |_: &[u8; 32], stored: &Stored| !stored.is_live(now);
                match self.expiry_scans.run(now, || self.remove_all(is_expired)) {
                    true => change(&mut self.shard(key)),
                    false => Err(error),
                }
            }
            result => result,
        }
    }

    /// Reserves the space for a record, or releases what the previous one took in addition.
    fn resize(&self, shard: &Shard, key: &StoreKey, bytes: usize) -> Result<(), StoreError> {
        let current = shard.get(key.as_bytes()).map_or(0, Stored::bytes);
        let (more, less) = (bytes.saturating_sub(current), current.saturating_sub(bytes));
        self.quota.release(less);
        let is_main_issuer =
            || key.groups.issuer.is_none_or(|issuer| self.share(issuer) >= Self::MAIN_ISSUER);
        if more == 0 || self.quota.reserve(key, more, is_main_issuer) {
            return Ok(());
        }
        let error = StoreError::new(StoreErrorKind::Full).with_source(format!(
            "no space for another {} record in memory: set a higher MemoryBuilder::max_bytes",
            key.purpose().as_str()
        ));
        match key.groups.issuer {
            Some(_) => Err(error.needing_coarser_record()),
            None => Err(error),
        }
    }

    /// Estimates how many percent of the records are of this issuer.
    fn share(&self, issuer: u64) -> usize {
        let (mut members, mut all) = (0, 0);
        for shard in &self.shards {
            // Not `lock`: the caller holds the lock of one of them.
            let Ok(shard) = shard.try_lock() else { continue };
            for stored in shard.sample(Self::SAMPLE) {
                members += usize::from(stored.is_in_group(GroupKind::Issuer, issuer));
                all += 1;
            }
        }
        members * 100 / all.max(1)
    }

    /// Removes the records of a group that one record replaces, if the space is needed.
    fn remove_replaced(&self, replaced: &Replaced, now: u64) {
        if !self.quota.needs_coarser_records() {
            return;
        }
        let scans = match replaced.kind {
            GroupKind::Subject => &self.subject_scans,
            GroupKind::Issuer if self.share(replaced.group) >= Self::MAIN_ISSUER => {
                &self.issuer_scans
            }
            GroupKind::Issuer => return,
        };
        scans.run(now, || {
            self.remove_all(|key, stored| {
                !stored.is_live(now) || stored.is_replaced(key, replaced)
            });
        });
    }

    /// Removes records from all shards, in steps, so that no lock is held for long.
    fn remove_all(&self, is_removed: impl Fn(&[u8; 32], &Stored) -> bool) {
        for shard in &self.shards {
            let mut after = None;
            loop {
                let mut shard = lock(shard);
                let (freed, next) = shard.remove_some(after, Self::CHUNK, &is_removed);
                self.quota.release(freed);
                match next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
        }
    }

    #[allow(clippy::indexing_slicing)] // the remainder is below the length
    fn shard(&self, key: &StoreKey) -> MutexGuard<'_, Shard> {
        let [first, ..] = key.as_bytes();
        lock(&self.shards[usize::from(*first) % Self::SHARDS])
    }
}

impl ScanLimit {
    /// A scan takes at most this part of the time: 5 %.
    const PAUSE: u32 = 20;
    const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

    /// Scans, unless that was done a short time ago. Returns whether it scanned.
    fn run(&self, now: u64, scan: impl FnOnce()) -> bool {
        {
            let mut last = lock(&self.0);
            let is_recent = |(at, pause): (u64, Duration)| {
                // A mock clock can be set back.
                now.checked_sub(at).is_some_and(|age| u128::from(age) < pause.as_nanos())
            };
            if last.is_some_and(is_recent) {
                return false;
            }
            *last = Some((now, Self::SHORTEST_PAUSE));
        }
        let started = Instant::now();
        scan();
        let pause = started.elapsed().saturating_mul(Self::PAUSE).max(Self::SHORTEST_PAUSE);
        *lock(&self.0) = Some((now, pause));
        true
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
