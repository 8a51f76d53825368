//! The state that requests and the refresh task share.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;

use super::{fetch::FetchError, schedule::RefreshSchedule};
use crate::{
    clock::{self, Clock, Deadline},
    jwt::keys::prepared::{Preparation, PreparedKeys},
    rejection::{Rejection, RejectionKind},
};

/// The maximum number of unknown key ids that are remembered.
const MAX_UNKNOWN_KEY_IDS: usize = 1024;

pub(crate) struct SharedState {
    pub(crate) keys: ArcSwapOption<Snapshot>,
    pub(crate) preparation: Preparation,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) schedule: RefreshSchedule,
    /// Wakes the refresh task.
    pub(crate) wake: Notify,
    /// The time of the next fetch. Requests read it without a lock.
    pub(crate) due: Deadline,
    /// The numbers of started and finished fetches. They are written under the lock of `state`.
    pub(crate) started: AtomicU64,
    pub(crate) finished: AtomicU64,
    pub(crate) state: Mutex<FetchState>,
    pub(crate) hasher: RandomState,
}

/// The keys of one fetch.
pub(crate) struct Snapshot {
    pub(crate) keys: Arc<PreparedKeys>,
    pub(crate) fetched_at: SystemTime,
    pub(crate) fresh_until: SystemTime,
    pub(crate) usable_until: SystemTime,
}

/// The part of the state behind a lock. Requests whose key is present do not take this lock, except
/// for one request when a refresh is due.
#[derive(Default)]
pub(crate) struct FetchState {
    /// A fetch was requested and has not started.
    pub(crate) fetch_requested: bool,
    /// The last time an unknown key id triggered a fetch.
    last_unknown_fetch: Option<SystemTime>,
    /// Hashes of key ids that were not in the fetched set, and the time until which they do not
    /// trigger a fetch.
    pub(crate) unknown_key_ids: HashMap<u64, SystemTime>,
    pub(crate) failures: u32,
    pub(crate) error: Option<FetchError>,
    pub(crate) retry_at: Option<SystemTime>,
}

/// The numbers of started and finished fetches at the time when a request read the keys.
pub(crate) struct FetchCounts {
    pub(crate) started: u64,
    pub(crate) finished: u64,
}

/// What a request does if its key is missing.
pub(crate) enum NextStep {
    /// Read the keys again: a fetch has finished since they were read.
    ReadKeys,
    /// Wait until this many fetches have finished, then read the keys again.
    WaitForFetch(u64),
    /// Stop waiting: no fetch is started for this key id now.
    StopWaiting,
    Reject(Rejection),
}

impl Snapshot {
    pub(crate) fn is_usable(&self, now: SystemTime) -> bool {
        now < self.usable_until && !clock::is_in_future(self.fetched_at, now)
    }
}

impl SharedState {
    pub(crate) fn state(&self) -> MutexGuard<'_, FetchState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_due(&self, now: SystemTime) -> bool {
        self.due.has_passed(now, self.schedule.max_delay())
    }

    /// Requests the refresh that is due. Returns `false` if another request was faster.
    pub(crate) fn request_refresh(&self, now: SystemTime) -> bool {
        let mut state = self.state();
        if !self.is_due(now) {
            return false;
        }
        self.due.set(clock::saturating_add(now, self.schedule.timeout));
        // A slow fetch that is still running must not be followed by another one immediately.
        let is_idle = self.started.load(Ordering::Acquire) == self.finished.load(Ordering::Acquire);
        state.fetch_requested |= is_idle;
        true
    }

    pub(crate) fn start_fetch(&self) {
        let mut state = self.state();
        self.due.set(clock::saturating_add(self.clock.now(), self.schedule.timeout));
        state.fetch_requested = false;
        self.started.fetch_add(1, Ordering::Release);
    }

    /// Marks all started fetches as finished, and returns their number.
    ///
    /// Fetched keys must be stored before this call.
    pub(crate) fn finish_fetch(&self) -> u64 {
        let _state = self.state();
        let finished = self.started.load(Ordering::Acquire);
        self.finished.store(finished, Ordering::Release);
        finished
    }

    /// Finishes the fetch of a task that has ended, and requests another one.
    pub(crate) fn restart_fetch(&self) -> u64 {
        self.state().fetch_requested = true;
        self.finish_fetch()
    }

    /// Decides what a request does whose key is missing: see [`LiveKeys::wait_for_keys`].
    ///
    /// [`LiveKeys::wait_for_keys`]: super::live_keys::LiveKeys::wait_for_keys
    pub(crate) fn next_step(
        &self,
        seen: &mut FetchCounts,
        key_id: Option<&Option<Box<str>>>,
    ) -> NextStep {
        let now = self.clock.now();
        let mut state = self.state();
        let [started, finished] =
            [&self.started, &self.finished].map(|count| count.load(Ordering::Acquire));
        if finished != seen.finished {
            seen.finished = finished;
            return NextStep::ReadKeys;
        }
        if started > finished {
            return NextStep::WaitForFetch(started);
        }
        if state.fetch_requested {
            return NextStep::WaitForFetch(started + 1);
        }
        if let Some(rejection) = self.back_off_rejection(&state, now) {
            return NextStep::Reject(rejection);
        }
        if let Some(key_id) = key_id {
            // Tokens without `kid` cannot be distinguished, so only the cooldown limits them.
            let key_id = key_id.as_ref().map(|key_id| self.hasher.hash_one(key_id));
            if finished > seen.started {
                // A fetch that started after the request arrived did not bring the key.
                if let Some(key_id) = key_id {
                    state.remember_unknown(key_id, now, self.schedule.cooldown);
                }
                return NextStep::StopWaiting;
            }
            let elapsed = state.last_unknown_fetch.map(|last| now.duration_since(last));
            let in_cooldown =
                matches!(elapsed, Some(Ok(elapsed)) if elapsed < self.schedule.cooldown);
            let unknown_until = key_id.and_then(|key_id| state.unknown_key_ids.get(&key_id));
            if in_cooldown || unknown_until.is_some_and(|until| now < *until) {
                return NextStep::StopWaiting;
            }
            state.last_unknown_fetch = Some(now);
        }
        state.fetch_requested = true;
        NextStep::WaitForFetch(started + 1)
    }

    /// Returns a 503 rejection if the last fetch failed.
    pub(crate) fn failure_rejection(&self) -> Option<Rejection> {
        self.state().failure_rejection(self.clock.now())
    }

    fn back_off_rejection(&self, state: &FetchState, now: SystemTime) -> Option<Rejection> {
        clock::time_left(state.retry_at?, now, self.schedule.max_delay())?;
        state.failure_rejection(now)
    }
}

impl FetchState {
    /// Remembers an unknown key id for four cooldowns.
    ///
    /// The time is limited because the issuer may publish a key with this id later.
    fn remember_unknown(&mut self, key_id: u64, now: SystemTime, cooldown: Duration) {
        if self.unknown_key_ids.len() >= MAX_UNKNOWN_KEY_IDS {
            self.unknown_key_ids.retain(|_, until| now < *until);
        }
        if self.unknown_key_ids.len() < MAX_UNKNOWN_KEY_IDS {
            self.unknown_key_ids.insert(key_id, clock::saturating_add(now, cooldown * 4));
        }
    }

    /// The `Retry-After` of the rejection is the time until the next fetch, at least 1 s.
    fn failure_rejection(&self, now: SystemTime) -> Option<Rejection> {
        let error = self.error.clone()?;
        let wait = self.retry_at.and_then(|at| at.duration_since(now).ok()).unwrap_or_default();
        let wait = wait.max(Duration::from_secs(1));
        Some(Rejection::new(RejectionKind::Unavailable).with_retry_after(wait).because(error))
    }
}
