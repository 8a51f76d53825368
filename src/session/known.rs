//! The sessions that this process has read, so that a request does not decode them again.
//!
//! The store is asked for each request nevertheless. An answer that is byte for byte the last one
//! leads to the same decision, except for what depends on the time.

use std::{
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use quick_cache::{
    Weighter,
    sync::{Cache, DefaultLifecycle},
};
use tokio::sync::Mutex;

use super::{record::Record, session_id::SessionHandle};
use crate::{
    prehashed::PrehashedHasher,
    principal::Principal,
    revocation::{
        epoch::Epoch,
        session::{Question, SessionWatch},
    },
    store::{
        key::StoreKey,
        record::{Record as StoreRecord, RecordKey},
    },
};

/// The known sessions, with a limited size. Only sessions that exist are added.
pub(super) struct KnownSessions(Table);

type Table = Cache<SessionHandle, Arc<Known>, ByWeight, BuildHasherDefault<PrehashedHasher>>;

/// A session that this process has read.
pub(super) struct Known {
    pub(super) watch: SessionWatch,
    /// The session, what can revoke it, and last the epoch and its counter.
    pub(super) keys: Vec<RecordKey>,
    /// All names of the keys.
    pub(super) names: Box<[StoreKey]>,
    /// How many of the names are not those of counters.
    sealed: usize,
    /// The table needs a weight that does not change.
    weight: usize,
    /// The last answer that accepted the session.
    pub(super) latest: ArcSwapOption<Answer>,
    pub(super) flight: Arc<Flight>,
}

/// An answer of the store that accepts a session.
pub(super) struct Answer {
    pub(super) decoded: Arc<Decoded>,
    /// In monotonic time, if there is a staleness.
    asked_at: Option<Duration>,
    /// The number of the latest revocation of this process when the store was asked.
    pub(super) asked_after: u64,
}

/// What an answer of the store contains.
pub(super) struct Decoded {
    /// The values under all names.
    raw: Vec<Option<Bytes>>,
    pub(super) epoch: Epoch,
    pub(super) record: Record,
    /// The record to replace.
    pub(super) stored: StoreRecord,
    pub(super) principal: Principal,
    /// When the session ends if it is not used again.
    pub(super) end: u64,
}

/// What the requests of a session do only once at a time.
#[derive(Default)]
pub(super) struct Flight {
    pub(super) slide: NextAttempt,
    pub(super) refresh: Mutex<Option<LastRefresh>>,
}

/// The last call of the closure for a session.
pub(super) struct LastRefresh {
    /// In monotonic time.
    pub(super) finished_at: Duration,
    pub(super) has_failed: bool,
}

/// When something is tried again, in milliseconds since 1970.
#[derive(Default)]
pub(super) struct NextAttempt(AtomicU64);

/// The right of one request to try. If it is dropped, another request tries.
pub(super) struct Attempt<'a>(&'a AtomicU64);

#[derive(Clone)]
struct ByWeight;

impl KnownSessions {
    const MAX_BYTES: u64 = 64 * 1024 * 1024;

    pub(super) fn new() -> Self {
        let (hasher, lifecycle) = (BuildHasherDefault::default(), DefaultLifecycle::default());
        Self(Cache::with(16_384, Self::MAX_BYTES, ByWeight, hasher, lifecycle))
    }

    #[inline]
    pub(super) fn get(&self, handle: &SessionHandle) -> Option<Arc<Known>> {
        self.0.get(handle)
    }

    /// Adds a session, unless another request has done so. Returns the one that was added.
    pub(super) fn get_or_add(
        &self,
        handle: &SessionHandle,
        known: impl FnOnce() -> Known,
    ) -> Arc<Known> {
        let added = self
            .0
            .get_or_insert_with(handle, || Ok::<_, std::convert::Infallible>(Arc::new(known())));
        match added {
            Ok(known) => known,
        }
    }

    pub(super) fn remove(&self, handle: &SessionHandle) {
        self.0.remove(handle);
    }

    /// Sets the last answer. If the session has grown, its entry is added again.
    pub(super) fn accept(&self, handle: &SessionHandle, known: &Arc<Known>, answer: Answer) {
        let weight = Known::weight_of(&answer.decoded.record, &known.names);
        known.latest.store(Some(Arc::new(answer)));
        if weight > known.weight {
            let watch = known.watch.clone();
            let (keys, names) = (known.keys.clone(), known.names.clone());
            let latest = ArcSwapOption::new(known.latest.load_full());
            let flight = Arc::clone(&known.flight);
            let sealed = known.sealed;
            let grown = Known { watch, keys, names, sealed, weight, latest, flight };
            self.0.insert(*handle, Arc::new(grown));
        }
    }

    #[cfg(any(feature = "health", test))]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    #[cfg(any(feature = "health", test))]
    pub(super) fn weight(&self) -> u64 {
        self.0.weight()
    }
}

impl Known {
    /// About what an entry takes besides texts that depend on the session: the keys, the positions
    /// of the claims and the nodes of the tables.
    const OVERHEAD: usize = 2_048;

    pub(super) fn new(
        session: RecordKey,
        watch: SessionWatch,
        epoch: [RecordKey; 2],
        record: &Record,
    ) -> Self {
        let mut keys = vec![session];
        keys.extend_from_slice(watch.keys());
        keys.extend_from_slice(&epoch);
        let names: Box<[StoreKey]> =
            keys.iter().flat_map(RecordKey::names).map(|(name, _)| name).collect();
        let counters: usize =
            keys.iter().filter(|key| key.is_counter).map(|key| key.names().count()).sum();
        Self {
            sealed: names.len().saturating_sub(counters),
            weight: Self::weight_of(record, &names),
            watch,
            keys,
            names,
            latest: ArcSwapOption::empty(),
            flight: Arc::default(),
        }
    }

    /// The record is there twice and sealed, its claims also as types of the application.
    fn weight_of(record: &Record, names: &[StoreKey]) -> usize {
        record.text_bytes() * 6 + size_of_val(names) * 3 + Self::OVERHEAD
    }

    /// Returns the counters of the epoch if all other values are those of an answer.
    #[inline]
    pub(super) fn counters_if_same<'r>(
        &self,
        raw: &'r [Option<Bytes>],
        decoded: &Decoded,
    ) -> Option<&'r [Option<Bytes>]> {
        let (sealed, counters) = raw.split_at_checked(self.sealed)?;
        let last = decoded.raw.get(..self.sealed)?;
        let is_same = sealed.len() == last.len()
            && sealed.iter().zip(last).all(|(one, other)| is_same_value(one, other));
        is_same.then_some(counters)
    }
}

#[inline]
fn is_same_value(one: &Option<Bytes>, other: &Option<Bytes>) -> bool {
    match (one, other) {
        // A store in memory returns the same bytes.
        (Some(one), Some(other)) => {
            (one.as_ptr() == other.as_ptr() && one.len() == other.len()) || one == other
        }
        (None, None) => true,
        _ => false,
    }
}

impl Answer {
    pub(super) fn new(decoded: Arc<Decoded>, question: &Question) -> Self {
        Self { decoded, asked_at: question.asked_at, asked_after: question.asked_after }
    }

    /// Returns whether the store does not have to be asked again.
    pub(super) fn is_recent(&self, now: Duration, staleness: Duration) -> bool {
        // A mock clock can be set back.
        let age = self.asked_at.and_then(|asked_at| now.checked_sub(asked_at));
        age.is_some_and(|age| age < staleness)
    }
}

impl Decoded {
    pub(super) fn new(
        raw: Vec<Option<Bytes>>,
        epoch: Epoch,
        record: Record,
        stored: StoreRecord,
        principal: Principal,
        end: u64,
    ) -> Self {
        Self { raw, epoch, record, stored, principal, end }
    }
}

impl NextAttempt {
    /// Returns whether no attempt was made within `interval`, in milliseconds.
    pub(super) fn is_due(&self, now: u64, interval: u64) -> bool {
        let next = self.0.load(Ordering::Relaxed);
        // The store's clock can be set back.
        now >= next || next > now.saturating_add(interval)
    }

    /// Returns the right to try to one of several requests at the same time.
    pub(super) fn claim(&self, now: u64, interval: u64) -> Option<Attempt<'_>> {
        let next = self.0.load(Ordering::Relaxed);
        if !self.is_due(now, interval) {
            return None;
        }
        let claimed = now.saturating_add(interval);
        let result = self.0.compare_exchange(next, claimed, Ordering::Relaxed, Ordering::Relaxed);
        result.is_ok().then_some(Attempt(&self.0))
    }
}

impl Attempt<'_> {
    /// The next attempt is due after the interval.
    pub(super) fn succeeded(self) {
        std::mem::forget(self);
    }

    /// The next attempt is due at this time.
    pub(super) fn failed_until(self, next: u64) {
        self.0.store(next, Ordering::Relaxed);
        std::mem::forget(self);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// A handle is random.
impl Hash for SessionHandle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = *self.as_bytes();
        state.write_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    }
}

impl Weighter<SessionHandle, Arc<Known>> for ByWeight {
    fn weight(&self, _: &SessionHandle, known: &Arc<Known>) -> u64 {
        u64::try_from(known.weight).unwrap_or(u64::MAX)
    }
}
