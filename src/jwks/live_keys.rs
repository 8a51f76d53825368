//! Keys that are read without a lock, and fetched by one task for all.

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
    jwks::Jwks,
    refresher,
    source::Source,
    state::{Next, Seen, Shared, Snapshot},
};
use crate::{
    clock::{Clock, Deadline},
    config_error::ConfigError,
    jwt::keys::prepared::Preparation,
    rejection::{Rejection, RejectionKind},
};

/// The keys of one [`Jwks`]. The task that fetches them ends with it.
pub(crate) struct LiveKeys {
    shared: Arc<Shared>,
    jwks: Jwks,
    task: Mutex<Option<Task>>,
}

struct Task {
    /// How many fetches have ended. Its sender is the task's.
    ended: watch::Receiver<u64>,
    abort: AbortHandle,
}

impl LiveKeys {
    pub(crate) fn new(
        jwks: Jwks,
        preparation: Preparation,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        jwks.check()?;
        let engine = Self {
            shared: Arc::new(Shared {
                keys: ArcSwapOption::empty(),
                preparation,
                clock,
                pace: jwks.pace,
                wake: Notify::new(),
                due: Deadline::passed(),
                begun: AtomicU64::new(0),
                ended: AtomicU64::new(0),
                state: Mutex::default(),
                hasher: RandomState::new(),
            }),
            jwks,
            task: Mutex::new(None),
        };
        // Within a runtime, the first request finds the keys there already.
        if Handle::try_current().is_ok() {
            let _ = engine.task();
        }
        Ok(engine)
    }

    /// The keys, where there are some that may be used. Takes no lock, and waits for nothing.
    pub(crate) fn current(&self, now: SystemTime) -> Option<Guard<Option<Arc<Snapshot>>>> {
        if self.shared.is_due(now) && self.shared.want(now) {
            let _ = self.task();
            self.shared.wake.notify_one();
        }
        let keys = self.shared.keys.load();
        keys.as_ref().is_some_and(|keys| keys.is_usable(now)).then_some(keys)
    }

    /// Whether [`Self::current`] asks for a fetch.
    pub(crate) fn is_due(&self, now: SystemTime) -> bool {
        self.shared.is_due(now)
    }

    /// What [`Self::look_again`] takes as the time of arrival. Ask before you look at the keys.
    pub(crate) fn seen(&self) -> Seen {
        let ended = self.shared.ended.load(Ordering::Acquire);
        Seen { begun: self.shared.begun.load(Ordering::Acquire), ended }
    }

    /// Waits until there may be keys that were not there before: for the first ones, or, where a name is
    /// given, for one of that name. `false` says that there is nothing to wait for.
    pub(crate) async fn look_again(
        &self,
        seen: &mut Seen,
        name: Option<&Option<Box<str>>>,
    ) -> Result<bool, Rejection> {
        let mut ended = self.task()?;
        let number = match self.shared.next(seen, name) {
            Next::Look => return Ok(true),
            Next::Await(number) => number,
            Next::NotNow => return Ok(false),
            Next::Unavailable(rejection) => return Err(rejection),
        };
        self.shared.wake.notify_one();
        // The task may be gone, where a user's `Fetch` panicked, or its runtime be at a stand.
        let patience = self.shared.pace.timeout + Duration::from_secs(1);
        let waited = timeout(patience, ended.wait_for(|ended| *ended >= number)).await;
        seen.ended = self.shared.ended.load(Ordering::Acquire);
        match (self.shared.unavailable(), waited) {
            (Some(rejection), _) => Err(rejection),
            (None, Ok(Ok(_))) => Ok(true),
            (None, _) => {
                self.abort();
                Err(Rejection::new(RejectionKind::Unavailable).because("the fetch was given up"))
            }
        }
    }

    /// Ends the task; whoever needs it next starts another.
    fn abort(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.abort.abort();
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Sees to it that the task runs, in the runtime of whoever calls.
    fn task(&self) -> Result<watch::Receiver<u64>, Rejection> {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task.as_ref().filter(|task| !task.abort.is_finished()) {
            return Ok(task.ended.clone());
        }
        let runtime = Handle::try_current().map_err(|_| {
            Rejection::new(RejectionKind::Misconfigured)
                .because("keys are fetched by tokio: serve within a tokio runtime")
        })?;
        let source =
            Source::new(self.jwks.place.clone(), self.jwks.transport, Arc::clone(&self.jwks.fetch));
        let last = self.shared.give_up();
        let (sender, ended) = watch::channel(last);
        let run = refresher::run(Arc::clone(&self.shared), source, sender);
        let abort = runtime.spawn(run).abort_handle();
        *task = Some(Task { ended: ended.clone(), abort });
        Ok(ended)
    }
}

impl Drop for LiveKeys {
    fn drop(&mut self) {
        self.abort();
    }
}
