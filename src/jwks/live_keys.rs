//! Reads keys without a lock, and starts the task that fetches them.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use arc_swap::{ArcSwapOption, Guard};
use tokio::{
    runtime::Handle,
    sync::{Notify, Semaphore, watch},
    task::AbortHandle,
    time::{sleep, timeout},
};

use super::{
    fetch::DynFetch,
    jwks::Jwks,
    refresher,
    source::{Endpoint, Source},
    state::{FetchProgress, MAX_WAITING, NextStep, SharedState, Snapshot},
};
use crate::{
    clock::{Clock, Deadline},
    config_error::ConfigError,
    jwt::keys::prepared::Preparation,
    rejection::{Rejection, RejectionKind},
    url::Transport,
};

/// The keys of one [`Jwks`]. Dropping it ends the refresh task.
pub(crate) struct LiveKeys {
    shared: Arc<SharedState>,
    endpoint: Endpoint,
    transport: Transport,
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
        let Jwks { endpoint, transport, schedule, document_rules, .. } = jwks;
        let live_keys = Self {
            shared: Arc::new(SharedState {
                keys: ArcSwapOption::empty(),
                document_rules,
                preparation,
                clock,
                schedule,
                wake: Notify::new(),
                due: Deadline::passed(),
                started: AtomicU64::new(0),
                finished: AtomicU64::new(0),
                state: Mutex::default(),
                waiting: Semaphore::new(MAX_WAITING),
            }),
            endpoint,
            transport,
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

    /// Returns whether a key set was fetched and is not too old, even if it is empty.
    pub(crate) fn has_fetched_set(&self) -> bool {
        let now = self.shared.clock.now();
        self.shared.keys.load().as_ref().is_some_and(|keys| keys.is_usable(now))
    }

    /// Returns whether [`Self::current`] would trigger a refresh.
    pub(crate) fn is_due(&self, now: SystemTime) -> bool {
        self.shared.is_due(now)
    }

    /// Returns the argument of [`Self::wait_for_keys`]. Call this before you read the keys.
    pub(crate) fn fetch_progress(&self) -> FetchProgress {
        let finished = self.shared.finished.load(Ordering::Acquire);
        let started = self.shared.started.load(Ordering::Acquire);
        FetchProgress { started, finished, has_waited: false }
    }

    /// Waits for keys that the request has not seen yet.
    ///
    /// `has_keys` is `true` if there are usable keys, but none for the `kid` of the token. Returns
    /// `true` if the keys must be read again, and `false` if the issuer has no such key.
    pub(crate) async fn wait_for_keys(
        &self,
        seen: &mut FetchProgress,
        has_keys: bool,
    ) -> Result<bool, Rejection> {
        let (mut finished, number) = loop {
            let finished = self.ensure_task()?;
            match self.shared.next_step(seen, has_keys) {
                NextStep::ReadKeys => return Ok(true),
                NextStep::WaitForFetch(number) => break (finished, number),
                NextStep::WaitUntilAllowed(wait) => self.wait_until_allowed(seen, wait).await?,
                NextStep::KeyIsAbsent => return Ok(false),
                NextStep::Reject(rejection) => return Err(rejection),
            }
        };
        self.shared.wake.notify_one();
        // The task may never finish: a custom `Fetch` panicked, or the runtime of the task is
        // blocked.
        let max_wait = self.shared.schedule.timeout + Duration::from_secs(1);
        let waited = timeout(max_wait, finished.wait_for(|finished| *finished >= number));
        let has_finished = matches!(waited.await, Ok(Ok(_)));
        seen.finished = self.shared.finished.load(Ordering::Acquire);
        if !has_finished {
            self.abort(&finished);
        }
        match self.shared.failure_rejection() {
            Some(rejection) => Err(rejection),
            None if has_finished => Ok(true),
            None => Err(Rejection::new(RejectionKind::Unavailable)
                .because("the task that fetches the keys did not finish in time")),
        }
    }

    /// Waits until the next fetch is allowed. A request does so only once.
    async fn wait_until_allowed(
        &self,
        seen: &mut FetchProgress,
        wait: Duration,
    ) -> Result<(), Rejection> {
        /// The wall clock and the timer differ slightly.
        const TOLERANCE: Duration = Duration::from_millis(10);

        let _permit = self.shared.waiting.try_acquire().map_err(|_| {
            Rejection::new(RejectionKind::Unavailable)
                .with_retry_after(wait.max(Duration::from_secs(1)))
                .because("too many requests wait for the next fetch of the keys")
        })?;
        seen.has_waited = true;
        sleep(wait + TOLERANCE).await;
        Ok(())
    }

    /// Ends the task with this receiver. The next request that needs a task starts another one.
    fn abort(&self, finished: &watch::Receiver<u64>) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        // Another request may have replaced it in the meantime.
        if let Some(task) = task.take_if(|task| task.finished.same_channel(finished)) {
            task.abort.abort();
        }
    }

    pub(crate) fn shared(&self) -> &SharedState {
        &self.shared
    }

    /// Starts the task in the current runtime if it is not running.
    pub(super) fn ensure_task(&self) -> Result<watch::Receiver<u64>, Rejection> {
        // Also if the task is running in another runtime, because the caller waits with a timeout.
        let runtime = Handle::try_current().map_err(|_| {
            Rejection::new(RejectionKind::Misconfigured)
                .because("keys are fetched on tokio: run the service within a tokio runtime")
        })?;
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task.as_ref().filter(|task| !task.abort.is_finished()) {
            return Ok(task.finished.clone());
        }
        let source = Source::new(self.endpoint.clone(), self.transport, Arc::clone(&self.fetch));
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
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.abort.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{Future, pending, ready},
        sync::mpsc,
        thread,
    };

    use bytes::Bytes;
    use http::{Request, Response};
    use tokio::runtime::Builder;

    use super::*;
    use crate::{
        clock::SystemClock, jwks::fetch::FetchError, jwt::crypto::AwsLc,
        observe::observer::Observer,
    };

    fn hanging_keys() -> LiveKeys {
        keys_from(|_: Request<()>| pending())
    }

    fn keys_from<F>(fetch: impl Fn(Request<()>) -> F + Send + Sync + 'static) -> LiveKeys
    where
        F: Future<Output = Result<Response<Bytes>, FetchError>> + Send + 'static,
    {
        let jwks = Jwks::url("own://keys").client(fetch);
        let preparation = Preparation {
            backend: Arc::new(AwsLc::default()),
            algorithms: None,
            allow_short_secrets: false,
            observer: Observer::default(),
            issuer: None,
        };
        LiveKeys::new(jwks, preparation, Arc::new(SystemClock)).unwrap()
    }

    #[tokio::test]
    async fn late_waiter_does_not_abort_the_task_that_replaced_its_own() {
        let keys = hanging_keys();
        let is_running =
            || keys.task.lock().unwrap().as_ref().is_some_and(|task| !task.abort.is_finished());
        let first = keys.ensure_task().unwrap();
        keys.abort(&first);
        assert!(!is_running());
        let second = keys.ensure_task().unwrap();
        keys.abort(&first);
        assert!(is_running());
        keys.abort(&second);
        assert!(!is_running());
    }

    #[test]
    fn end_of_the_runtime_is_not_a_failed_fetch() {
        let keys = keys_from(|_| ready(Ok(Response::new(Bytes::from_static(b"{\"keys\":[]}")))));
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (sender, started) = mpsc::channel();
        let (release, released) = mpsc::channel();
        runtime.spawn(async move {
            sender.send(()).unwrap();
            released.recv().unwrap();
        });
        started.recv().unwrap();
        runtime.block_on(async { keys.ensure_task().map(drop) }).unwrap();
        // The only worker polls the task after the runtime has begun to end.
        runtime.shutdown_background();
        release.send(()).unwrap();
        while !keys.task.lock().unwrap().as_ref().unwrap().abort.is_finished() {
            thread::yield_now();
        }
        assert_eq!(keys.shared.state().failures, 0);
    }

    #[tokio::test]
    async fn too_many_waiting_requests_return_503_with_retry_after() {
        let keys = hanging_keys();
        let _permits =
            keys.shared.waiting.acquire_many(u32::try_from(MAX_WAITING).unwrap()).await.unwrap();
        let wait = Duration::from_millis(1500);
        let result = keys.wait_until_allowed(&mut keys.fetch_progress(), wait).await;
        let rejection = result.unwrap_err();
        assert_eq!(rejection.kind(), RejectionKind::Unavailable);
        assert_eq!(rejection.retry_after(), Some(wait));
    }
}
