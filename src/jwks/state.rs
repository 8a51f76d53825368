//! The state that requests and the refresh task share.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, Semaphore};

use super::{document::DocumentRules, fetch::FetchError, schedule::RefreshSchedule};
use crate::{
    clock::{self, Clock, Deadline},
    jwt::keys::prepared::{Preparation, PreparedKeys},
    rejection::{Rejection, RejectionKind},
};

/// A request waits for the next allowed fetch if it is nearer than this.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// The number of requests that wait for the next allowed fetch of a key set at the same time.
pub(crate) const MAX_WAITING: usize = 1024;

pub(crate) struct SharedState {
    pub(crate) keys: ArcSwapOption<Snapshot>,
    pub(crate) document_rules: DocumentRules,
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
    /// The permits of the requests that wait for the next allowed fetch.
    pub(crate) waiting: Semaphore,
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
    pub(crate) last_unknown_fetch: Option<SystemTime>,
    pub(crate) failures: u32,
    pub(crate) error: Option<FetchError>,
    pub(crate) retry_at: Option<SystemTime>,
}

/// What a request that lacks its key has seen of the fetches.
pub(crate) struct FetchProgress {
    /// The number of fetches that had started when the request arrived.
    pub(crate) started: u64,
    /// The number of fetches that had finished when the request read the keys.
    pub(crate) finished: u64,
    /// Whether the request has already waited for the next allowed fetch.
    pub(crate) has_waited: bool,
}

/// What a request does if its key is missing.
#[derive(Debug)]
pub(crate) enum NextStep {
    /// Read the keys again: a fetch has finished since they were read.
    ReadKeys,
    /// Wait until this many fetches have finished, then read the keys again.
    WaitForFetch(u64),
    /// Wait for this time, until the next fetch is allowed.
    WaitUntilAllowed(Duration),
    /// The key does not exist: the set without it was fetched within the cooldown.
    KeyIsAbsent,
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

    /// Finishes the fetch of a task that has ended, and requests another one. After a failure, the
    /// back-off determines when.
    pub(crate) fn restart_fetch(&self) -> u64 {
        let mut state = self.state();
        state.fetch_requested = state.error.is_none();
        drop(state);
        self.finish_fetch()
    }

    /// Decides what a request does whose key is missing.
    ///
    /// `has_keys` is `true` if there are usable keys, but none for the `kid` of the token. The key
    /// may then be new, so the request starts a fetch, unless one did so within the cooldown.
    pub(crate) fn next_step(&self, seen: &mut FetchProgress, has_keys: bool) -> NextStep {
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
        if !state.fetch_requested {
            // The last fetch has ended, and none is due.
            let has_failed = state.error.is_some();
            if !has_failed && has_keys && finished > seen.started {
                // It started after the request arrived, and did not bring the key.
                return NextStep::KeyIsAbsent;
            }
            let wait = state.time_until_allowed(has_keys, now, &self.schedule);
            if let Some(wait) = wait.filter(|_| !self.is_due(now)) {
                // The scheduled fetch may be earlier than the end of the cooldown.
                let wait = wait.min(self.due.remaining(now));
                return match state.failure_rejection(now, &self.schedule) {
                    _ if wait < MAX_WAIT && !seen.has_waited => NextStep::WaitUntilAllowed(wait),
                    Some(rejection) => NextStep::Reject(rejection),
                    None => NextStep::KeyIsAbsent,
                };
            }
            if !has_failed && has_keys && wait.is_none() {
                state.last_unknown_fetch = Some(now);
            }
            state.fetch_requested = true;
        }
        NextStep::WaitForFetch(started + 1)
    }

    /// Returns a 503 rejection if the last fetch failed.
    pub(crate) fn failure_rejection(&self) -> Option<Rejection> {
        self.state().failure_rejection(self.clock.now(), &self.schedule)
    }
}

impl FetchState {
    /// Returns the time until a request may start a fetch, or `None` if it may now.
    ///
    /// After a failure, the time ends with the back-off. Otherwise, requests with an unknown `kid`
    /// start at most one fetch per cooldown.
    fn time_until_allowed(
        &self,
        has_keys: bool,
        now: SystemTime,
        schedule: &RefreshSchedule,
    ) -> Option<Duration> {
        match (&self.error, has_keys) {
            // No back-off is longer than the cooldown.
            (Some(_), _) => clock::time_left(self.retry_at?, now, schedule.cooldown),
            // After the clock was set back, the time of the last fetch means nothing.
            (None, true) => {
                let elapsed = now.duration_since(self.last_unknown_fetch?).ok()?;
                schedule.cooldown.checked_sub(elapsed).filter(|left| !left.is_zero())
            }
            (None, false) => None,
        }
    }

    /// The `Retry-After` of the rejection is the time until the next fetch, at least 1 s.
    fn failure_rejection(&self, now: SystemTime, schedule: &RefreshSchedule) -> Option<Rejection> {
        let error = self.error.clone()?;
        // No back-off is longer than the cooldown.
        let wait = self.retry_at.and_then(|at| clock::time_left(at, now, schedule.cooldown));
        let wait = wait.unwrap_or_default().max(Duration::from_secs(1));
        Some(Rejection::new(RejectionKind::Unavailable).with_retry_after(wait).because(error))
    }
}
