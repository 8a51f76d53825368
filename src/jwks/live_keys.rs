//! Reads keys without a lock, and starts the task that fetches them.

use std::{
    hash::RandomState,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use arc_swap::{ArcSwapOption, Guard};
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    task::AbortHandle,
    time::timeout,
};

use super::{
    fetch::DynFetch,
    jwks::Jwks,
    refresher,
    source::Source,
    state::{FetchCounts, NextStep, SharedState, Snapshot},
};
use crate::{
    clock::{Clock, Deadline},
    config_error::ConfigError,
    jwt::keys::prepared::Preparation,
    rejection::{Rejection, RejectionKind},
};

/// The keys of one [`Jwks`]. Dropping it ends the refresh task.
pub(crate) struct LiveKeys {
    shared: Arc<SharedState>,
    jwks: Jwks,
    fetch: Arc<dyn DynFetch>,
    task: Mutex<Option<RefreshTask>>,
}

struct RefreshTask {
    /// The number of finished fetches. The task owns the sender.
    finished: watch::Receiver<u64>,
    abort: AbortHandle,
}

impl LiveKeys {
    pub(crate) fn new(
        jwks: Jwks,
        preparation: Preparation,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        jwks.validate()?;
        let fetch = jwks.fetch()?;
        let live_keys = Self {
            shared: Arc::new(SharedState {
                keys: ArcSwapOption::empty(),
                preparation,
                clock,
                schedule: jwks.schedule,
                wake: Notify::new(),
                due: Deadline::passed(),
                started: AtomicU64::new(0),
                finished: AtomicU64::new(0),
                state: Mutex::default(),
                hasher: RandomState::new(),
            }),
            jwks,
            fetch,
            task: Mutex::new(None),
        };
        // Inside a runtime, fetch now, so that the first request does not wait for the keys.
        if Handle::try_current().is_ok() {
            let _ = live_keys.ensure_task();
        }
        Ok(live_keys)
    }

    /// Returns the keys if they are usable, without waiting. Triggers a refresh that is due.
    ///
    /// Takes no lock, except when a refresh is due.
    pub(crate) fn current(&self, now: SystemTime) -> Option<Guard<Option<Arc<Snapshot>>>> {
        if self.shared.is_due(now) && self.shared.request_refresh(now) {
            let _ = self.ensure_task();
            self.shared.wake.notify_one();
        }
        let keys = self.shared.keys.load();
        keys.as_ref().is_some_and(|keys| keys.is_usable(now)).then_some(keys)
    }

    /// Returns whether [`Self::current`] would trigger a refresh.
    pub(crate) fn is_due(&self, now: SystemTime) -> bool {
        self.shared.is_due(now)
    }

    /// Returns the counts for [`Self::wait_for_keys`]. Call this before you read the keys.
    pub(crate) fn fetch_counts(&self) -> FetchCounts {
        let finished = self.shared.finished.load(Ordering::Acquire);
        FetchCounts { started: self.shared.started.load(Ordering::Acquire), finished }
    }

    /// Waits for keys that the request has not seen yet.
    ///
    /// `key_id` is `Some` if there are keys, but none for the `kid` of the token (the inner
    /// `Option`). Returns `true` if the keys must be read again, and `false` if no fetch is started
    /// for this `kid` now.
    pub(crate) async fn wait_for_keys(
        &self,
        seen: &mut FetchCounts,
        key_id: Option<&Option<Box<str>>>,
    ) -> Result<bool, Rejection> {
        let mut finished = self.ensure_task()?;
        let number = match self.shared.next_step(seen, key_id) {
            NextStep::ReadKeys => return Ok(true),
            NextStep::WaitForFetch(number) => number,
            NextStep::StopWaiting => return Ok(false),
            NextStep::Reject(rejection) => return Err(rejection),
        };
        self.shared.wake.notify_one();
        // The task may never finish: a custom `Fetch` panicked, or the runtime of the task is
        // blocked.
        let max_wait = self.shared.schedule.timeout + Duration::from_secs(1);
        let waited = timeout(max_wait, finished.wait_for(|finished| *finished >= number)).await;
        seen.finished = self.shared.finished.load(Ordering::Acquire);
        match (self.shared.failure_rejection(), waited) {
            (Some(rejection), _) => Err(rejection),
            (None, Ok(Ok(_))) => Ok(true),
            (None, _) => {
                self.abort();
                Err(Rejection::new(RejectionKind::Unavailable)
                    .because("the task that fetches the keys did not finish in time"))
            }
        }
    }

    /// Ends the task. The next request that needs it starts another one.
    fn abort(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.abort.abort();
        }
    }

    pub(crate) fn shared(&self) -> &SharedState {
        &self.shared
    }

    /// Starts the task in the current runtime if it is not running.
    fn ensure_task(&self) -> Result<watch::Receiver<u64>, Rejection> {
        // Also if the task is running in another runtime, because the caller waits with a timeout.
        let runtime = Handle::try_current().map_err(|_| {
            Rejection::new(RejectionKind::Misconfigured)
                .because("keys are fetched on tokio: run the service within a tokio runtime")
        })?;
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task.as_ref().filter(|task| !task.abort.is_finished()) {
            return Ok(task.finished.clone());
        }
        let source =
            Source::new(self.jwks.endpoint.clone(), self.jwks.transport, Arc::clone(&self.fetch));
        let last = self.shared.restart_fetch();
        let (sender, finished) = watch::channel(last);
        let run = refresher::run(Arc::clone(&self.shared), source, sender);
        let abort = runtime.spawn(run).abort_handle();
        *task = Some(RefreshTask { finished: finished.clone(), abort });
        Ok(finished)
    }
}

impl Drop for LiveKeys {
    fn drop(&mut self) {
        self.abort();
    }
}
