use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;

use super::{local_writes::LocalWrites, revocations::State};
use crate::{
    observe::event::Event,
    random::random_bytes,
    store::{
        error::{StoreError, StoreErrorKind},
        key::Purpose,
        record::{Record, RecordKey},
        sealed_store::SealedStore,
        ttl::Ttl,
    },
};

/// Detects that a store was emptied or restored from an older copy.
///
/// The store has a record with a random id, the epoch, and a counter that each revocation
/// increments before it returns. If a process finds another epoch than before, or a smaller
/// counter, revocations are lost. It then raises the floor of the epoch: tokens that were issued
/// until then are rejected.
pub(super) struct EpochWatch {
    epoch: RecordKey,
    counter: RecordKey,
    seen: Mutex<Seen>,
    /// The latest instant of a token or a revocation that this process has seen.
    latest_instant: AtomicU64,
    /// The latest instant of a revocation, or of a revoked token, that this process has seen.
    latest_revoked: AtomicU64,
}

/// What this process has seen in the store.
#[derive(Clone, Copy, Default)]
pub(super) struct Seen {
    epoch: Option<Epoch>,
    count: i64,
    /// How often lost records were detected.
    reversions: u64,
    /// Whether records were lost, and the floor is not raised yet.
    is_reverted: bool,
    /// The floor after the loss, as soon as it is known.
    raised_floor: Option<u64>,
    /// When the store was last found intact, in monotonic time.
    intact_at: Duration,
    /// When [`EpochWatch::confirm`] last set that, in the time of its caller.
    #[cfg(feature = "session")]
    noted_at: u64,
}

/// The record of the epoch. Instants are in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epoch {
    id: [u8; 16],
    created_at: u64,
    /// Tokens that were issued until this instant are rejected, if it is not zero.
    floor: u64,
}

/// The epoch and the counter as they were found.
pub(super) struct Found {
    epoch: Option<Epoch>,
    /// The record of the epoch. During a rotation of the secret, there can be two.
    records: Vec<Record>,
    count: i64,
}

/// What a process finds in the store, compared with what it has seen before.
enum Change {
    Intact(Epoch),
    /// Nothing has created an epoch yet.
    Absent,
    /// Records were lost.
    Reverted,
    /// The store was asked before an earlier loss was detected.
    Outdated,
}

/// How often an operation is tried again if other processes write the same record.
pub(super) const MAX_ATTEMPTS: usize = 100;

impl EpochWatch {
    /// How often the time at which the store was intact is noted if nothing changes, in
    /// milliseconds.
    #[cfg(feature = "session")]
    const NOTE_INTERVAL: u64 = 1_000;

    pub(super) fn new(store: &SealedStore) -> Self {
        let key = |kind| store.key(Purpose::Revocation, kind, &[]).withdrawing_access();
        Self {
            epoch: key("epoch"),
            counter: key("seq").counter(),
            seen: Mutex::default(),
            latest_instant: AtomicU64::new(0),
            latest_revoked: AtomicU64::new(0),
        }
    }

    /// Returns the keys that are read together with revocations.
    pub(super) fn keys(&self) -> [RecordKey; 2] {
        [self.epoch, self.counter]
    }

    pub(super) fn seen(&self) -> Seen {
        *self.lock()
    }

    /// Remembers the instant of a token or a revocation.
    pub(super) fn note_instant(&self, instant: u64) {
        self.latest_instant.fetch_max(instant, Ordering::Relaxed);
    }

    /// Remembers the instant of a revocation or of a revoked token.
    pub(super) fn note_revoked(&self, instant: u64) {
        self.note_instant(instant);
        self.latest_revoked.fetch_max(instant, Ordering::Relaxed);
    }

    /// Compares what was found with `before`, what was seen when the store was asked. Answers can
    /// arrive in another order, so a count is not compared with later ones.
    fn compare(
        &self,
        before: &Seen,
        found: &Found,
        writes: &LocalWrites,
        now: Duration,
    ) -> (Change, bool) {
        let mut seen = self.lock();
        if seen.reversions != before.reversions {
            return (Change::Outdated, false);
        }
        if seen.is_reverted {
            return (Change::Reverted, false);
        }
        let is_lost = match &found.epoch {
            None => before.epoch.is_some(),
            Some(epoch) => {
                seen.epoch.is_some_and(|seen| seen.id != epoch.id)
                    || before.epoch.is_some_and(|before| before.floor > epoch.floor)
            }
        };
        if is_lost || found.count < before.count {
            seen.reversions += 1;
            seen.is_reverted = true;
            seen.raised_floor = None;
            // Under the lock: an answer that is outdated is void.
            writes.void_answers();
            return (Change::Reverted, true);
        }
        let Some(epoch) = found.epoch else { return (Change::Absent, false) };
        let floor = seen.epoch.map_or(0, |seen| seen.floor).max(epoch.floor);
        let epoch = Epoch { floor, ..epoch };
        seen.epoch = Some(epoch);
        seen.count = seen.count.max(found.count);
        seen.intact_at = seen.intact_at.max(now);
        (Change::Intact(epoch), false)
    }

    /// Returns whether the store is still in this epoch, like [`compare`](Self::compare), but
    /// decides nothing else. `now` is in milliseconds.
    #[cfg(feature = "session")]
    #[inline]
    pub(super) fn confirm(
        &self,
        before: &Seen,
        epoch: &Epoch,
        count: i64,
        now: u64,
        elapsed: impl FnOnce() -> Duration,
    ) -> bool {
        let mut seen = self.lock();
        let is_intact = seen.reversions == before.reversions
            && !seen.is_reverted
            && seen.epoch == Some(*epoch)
            && before.epoch == Some(*epoch)
            && count >= before.count;
        if is_intact {
            seen.count = seen.count.max(count);
            // Not for each request: reading the clock is a part of the costs. An epoch that is new
            // to this process is always compared, so this time is after each floor that it knows.
            if now.abs_diff(seen.noted_at) >= Self::NOTE_INTERVAL {
                seen.intact_at = seen.intact_at.max(elapsed());
                seen.noted_at = now;
            }
        }
        is_intact
    }

    /// Remembers the counter after a revocation.
    pub(super) fn note_count(&self, before: &Seen, count: i64) {
        let mut seen = self.lock();
        if seen.reversions == before.reversions {
            seen.count = seen.count.max(count);
        }
    }

    /// Returns the latest instant at which a token can have been issued until now. It includes the
    /// tokens that this process has seen, whose issuers' clocks can be ahead. The store's clock can
    /// have been set back since.
    pub(super) fn latest_start(&self, now: u64) -> u64 {
        now.max(self.latest_instant.load(Ordering::Relaxed))
    }

    /// Returns the floor that covers everything that this process knows to be lost. `age` is the
    /// time since the store was last found intact.
    fn sufficient_floor(&self, now: u64, age: Duration) -> u64 {
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        now.saturating_sub(age).max(self.latest_revoked.load(Ordering::Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// Returns whether records were lost, and the floor is not raised yet.
    pub(super) fn is_reverted(&self) -> bool {
        self.is_reverted
    }

    /// Returns whether the last known epoch rejects a token.
    pub(super) fn rejects(&self, started_at: u64, is_own: bool) -> bool {
        self.epoch.is_some_and(|epoch| epoch.rejects(started_at, is_own))
    }
}

impl Epoch {
    fn new(created_at: u64, floor: u64) -> Self {
        Self { id: random_bytes(), created_at, floor }
    }

    /// Returns whether records that affect a token could be lost.
    ///
    /// A token of this crate cannot be older than the epoch. One of another issuer can: it was
    /// issued before the first revocation was configured.
    pub(super) fn rejects(&self, started_at: u64, is_own: bool) -> bool {
        (self.floor > 0 && started_at <= self.floor) || (is_own && started_at < self.created_at)
    }

    /// Returns the latest start of a token of this crate, or of a session, that is rejected.
    #[cfg(any(feature = "issue", feature = "session"))]
    pub(super) fn rejected_until(&self) -> u64 {
        self.floor.max(self.created_at.saturating_sub(1))
    }

    fn encode(&self) -> Vec<u8> {
        [&self.id[..], &self.created_at.to_be_bytes(), &self.floor.to_be_bytes()].concat()
    }

    fn decode(value: &[u8]) -> Option<Self> {
        let (id, rest) = value.split_first_chunk()?;
        let (created_at, floor) = rest.split_first_chunk()?;
        let floor = u64::from_be_bytes(floor.try_into().ok()?);
        Some(Self { id: *id, created_at: u64::from_be_bytes(*created_at), floor })
    }
}

impl Found {
    /// Reads the last two results of a `get`: the epoch and the counter.
    pub(super) fn take_from(found: &mut Vec<Vec<Record>>) -> Result<Self, StoreError> {
        let (counters, records) = (found.pop(), found.pop().unwrap_or_default());
        let mut epoch: Option<Epoch> = None;
        for record in &records {
            let next = Epoch::decode(&record.value).ok_or_else(unreadable)?;
            epoch = Some(epoch.map_or(next, |epoch| Epoch {
                id: epoch.id,
                created_at: epoch.created_at.max(next.created_at),
                floor: epoch.floor.max(next.floor),
            }));
        }
        let counts = counters.iter().flatten().map(|record| parse_count(&record.value));
        let count = counts.sum::<Option<i64>>().ok_or_else(unreadable)?;
        Ok(Self { epoch, records, count })
    }
}

impl State {
    /// Compares what was found in the store with what was seen before, and reacts to a loss of
    /// records.
    ///
    /// Returns `None` if the store must be asked again.
    ///
    /// # Errors
    ///
    /// Returns an error if the epoch cannot be written. Nothing must be accepted then.
    pub(super) async fn observe_epoch(
        &self,
        before: &Seen,
        found: &Found,
    ) -> Result<Option<Epoch>, StoreError> {
        let now = self.clock.elapsed();
        let (change, is_first) = self.epoch.compare(before, found, &self.writes, now);
        match change {
            Change::Intact(epoch) => {
                self.copy_epoch(found).await;
                Ok(Some(epoch))
            }
            Change::Absent => self.create_epoch(before, found).await,
            Change::Reverted => {
                if is_first {
                    self.observer.observe(&Event::StoreReverted);
                }
                self.raise_floor().await?;
                Ok(None)
            }
            Change::Outdated => Ok(None),
        }
    }

    async fn create_epoch(
        &self,
        before: &Seen,
        found: &Found,
    ) -> Result<Option<Epoch>, StoreError> {
        let now = millis(self.store.now().await?);
        // A revocation increments the counter after it has found or created the epoch.
        let is_lost = found.count > 0;
        let floor = if is_lost { self.epoch.latest_start(now) } else { 0 };
        let epoch = Epoch::new(now, floor);
        if !self.store.insert(&self.epoch.epoch, &epoch.encode(), Ttl::MAX).await? {
            return Ok(None);
        }
        {
            let mut seen = self.epoch.lock();
            if seen.reversions == before.reversions {
                seen.epoch.get_or_insert(epoch);
                seen.count = seen.count.max(found.count);
                seen.intact_at = self.clock.elapsed();
            }
        }
        if is_lost {
            self.observer.observe(&Event::StoreReverted);
        }
        Ok(Some(epoch))
    }

    /// During a rotation of the secret, copies the epoch to its new name.
    async fn copy_epoch(&self, found: &Found) {
        let key = self.epoch.epoch;
        if found.records.iter().all(|record| record.key != key.current)
            && let Some(epoch) = found.epoch
        {
            let key = RecordKey { previous: None, ..key };
            // The next request tries again.
            let _ = self.store.insert(&key, &epoch.encode(), Ttl::MAX).await;
        }
    }

    /// Raises the floor of the epoch after records were lost, unless another process has done so.
    async fn raise_floor(&self) -> Result<(), StoreError> {
        let now = millis(self.store.now().await?);
        let (reversions, floor, sufficient_floor) = {
            let mut seen = self.epoch.lock();
            let floor = self.epoch.latest_start(now);
            let floor = *seen.raised_floor.get_or_insert(floor);
            let age = self.clock.elapsed().saturating_sub(seen.intact_at);
            (seen.reversions, floor, self.epoch.sufficient_floor(now, age))
        };
        for _ in 0..MAX_ATTEMPTS {
            let mut found = self.store.get(&self.epoch.keys()).await?;
            let found = Found::take_from(&mut found)?;
            let (epoch, is_written) = match found.epoch {
                None => {
                    let epoch = Epoch::new(now, floor);
                    let key = self.epoch.epoch;
                    (epoch, self.store.insert(&key, &epoch.encode(), Ttl::MAX).await?)
                }
                // Otherwise, a process that was idle would log everyone out once more.
                Some(epoch) if epoch.floor >= sufficient_floor => (epoch, true),
                Some(epoch) => {
                    let epoch = Epoch { floor: epoch.floor.max(floor), ..epoch };
                    (epoch, self.replace_epoch(&found, epoch).await?)
                }
            };
            if is_written {
                let mut seen = self.epoch.lock();
                if seen.reversions == reversions {
                    let (epoch, count) = (Some(epoch), found.count);
                    let intact_at = self.clock.elapsed();
                    *seen = Seen { epoch, count, intact_at, is_reverted: false, ..*seen };
                }
                return Ok(());
            }
        }
        Err(StoreError::new(StoreErrorKind::Unavailable)
            .with_source("other processes have changed the epoch of revocations too often"))
    }

    /// Returns whether all records of the epoch now have this floor.
    async fn replace_epoch(&self, found: &Found, epoch: Epoch) -> Result<bool, StoreError> {
        let mut is_written = true;
        for record in &found.records {
            let is_current =
                Epoch::decode(&record.value).is_some_and(|found| found.floor >= epoch.floor);
            is_written &=
                is_current || self.store.replace(record, &epoch.encode(), Ttl::MAX).await?;
        }
        Ok(is_written)
    }
}

/// Returns the milliseconds since 1970, rounded up.
pub(crate) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    // Without a division of 128 bits, because requests with sessions call it.
    let fraction = u64::from(since.subsec_nanos().div_ceil(1_000_000));
    since.as_secs().saturating_mul(1_000).saturating_add(fraction)
}

pub(super) fn parse_count(value: &Bytes) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn unreadable() -> StoreError {
    StoreError::new(StoreErrorKind::Unreadable)
        .with_source("the epoch of revocations is not in a known form")
}

#[cfg(all(test, feature = "session"))]
mod tests {
    use super::*;

    #[test]
    fn answer_is_confirmed_only_in_an_epoch_that_has_not_changed() {
        let watch = EpochWatch::new(&SealedStore::memory());
        let epoch = Epoch::new(1_000, 0);
        *watch.lock() = Seen { epoch: Some(epoch), count: 5, ..Seen::default() };
        let before = watch.seen();
        const NOW: Duration = Duration::from_secs(7);
        let confirm = |before: &Seen, epoch: Epoch, count| {
            watch.confirm(before, &epoch, count, 7_000, || NOW)
        };
        assert!(confirm(&before, epoch, 5));
        assert_eq!(watch.seen().intact_at, NOW);
        // Once a second, also if the clock of the store was set back.
        for (now, is_noted) in [(7_999, false), (6_001, false), (8_000, true), (7_000, true)] {
            let later = watch.seen().intact_at + Duration::from_secs(1);
            assert!(watch.confirm(&before, &epoch, 5, now, || later));
            assert_eq!(watch.seen().intact_at == later, is_noted, "{now}");
        }
        assert!(!confirm(&before, epoch, 4), "the counter went back");
        assert!(confirm(&before, epoch, 6));
        // An answer to an earlier question.
        assert!(confirm(&before, epoch, 5));
        assert!(!confirm(&watch.seen(), epoch, 5));
        assert!(!confirm(&watch.seen(), Epoch::new(1_000, 0), 6), "another epoch");
        let raised = Epoch { floor: 2_000, ..epoch };
        watch.lock().epoch = Some(raised);
        assert!(!confirm(&before, epoch, 6), "the floor was raised since");
        assert!(!confirm(&before, raised, 6), "the floor was raised before the answer");
        assert!(confirm(&watch.seen(), raised, 6));
        for (reversions, is_reverted) in [(1, false), (0, true), (1, true)] {
            let before = watch.seen();
            *watch.lock() = Seen { reversions, is_reverted, ..before };
            assert!(!confirm(&before, raised, 6), "records were lost");
            *watch.lock() = before;
        }
    }
}
