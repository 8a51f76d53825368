//! Caches a token, which is read without a lock, and coalesces concurrent fetches.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwapOption;
use http::HeaderValue;
use tokio::{runtime::Handle, sync::watch, time::timeout};

use super::{
    authorization::Authorization,
    current_token::CurrentToken,
    error::{AttachError, AttachErrorKind},
    source::DynTokenSource,
};
use crate::{
    clock::{self, Clock},
    observe::{event::Event, observer::Observer},
};

/// The state that a [`RefreshingToken`](super::RefreshingToken) shares with its clones.
pub(crate) struct TokenRefresher {
    pub(crate) settings: Settings,
    current: ArcSwapOption<CurrentToken>,
    state: Mutex<FetchState>,
}

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) source: Arc<dyn DynTokenSource>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) timeout: Duration,
    pub(crate) cooldown: Duration,
    pub(crate) refresh_ahead: Duration,
    pub(crate) observer: Observer,
}

/// The result of a fetch, or `None` while it is in progress.
type FetchResult = Option<Result<HeaderValue, AttachError>>;

/// Coordinates fetches. Requests do not take its lock while the token is fresh.
#[derive(Default)]
struct FetchState {
    /// The fetch in progress.
    fetch: Option<watch::Receiver<FetchResult>>,
    /// The time and error of the last fetch, if it failed.
    failure: Option<(SystemTime, AttachError)>,
    /// The number of fetches that failed since the last successful one.
    failures: u32,
}

/// What a request can use.
pub(crate) enum TokenStatus {
    Usable(HeaderValue),
    Fetching(watch::Receiver<FetchResult>),
    Failed(AttachError),
}

impl TokenRefresher {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, current: ArcSwapOption::empty(), state: Mutex::default() }
    }

    pub(crate) fn authorization(self: &Arc<Self>) -> Authorization {
        match self.current_or_fetch() {
            TokenStatus::Usable(value) => Authorization::ready(Ok(value)),
            TokenStatus::Fetching(fetch) => {
                Authorization::pending(wait_for_token(Arc::clone(self), Some(fetch)))
            }
            // The future may be created outside of a runtime and then passed to `block_on`.
            TokenStatus::Failed(error) if error.kind() == AttachErrorKind::Runtime => {
                Authorization::pending(wait_for_token(Arc::clone(self), None))
            }
            TokenStatus::Failed(error) => Authorization::ready(Err(error)),
        }
    }

    /// Returns the current token if it is usable.
    ///
    /// If there is none, or it needs a refresh, this starts a fetch, unless one is in progress or
    /// the last one failed within the cooldown.
    pub(crate) fn current_or_fetch(self: &Arc<Self>) -> TokenStatus {
        let now = self.settings.clock.now();
        if let Some(current) = &*self.current.load()
            && current.is_usable(now)
            && !current.needs_refresh(now)
        {
            return TokenStatus::Usable(current.value.clone());
        }
        let mut state = self.lock_state();
        // A fetch may have ended since the first check. None can end while the lock is held.
        let current = self.current.load_full().filter(|current| current.is_usable(now));
        if let Some(current) = current.as_ref().filter(|current| !current.needs_refresh(now)) {
            return TokenStatus::Usable(current.value.clone());
        }
        let status = if let Some(fetch) = state.running_fetch() {
            TokenStatus::Fetching(fetch)
        } else if let Some(error) = state.recent_failure(now, self.settings.cooldown) {
            TokenStatus::Failed(error)
        } else if let Ok(runtime) = Handle::try_current() {
            let (sender, fetch) = watch::channel(None);
            state.fetch = Some(fetch.clone());
            // A runtime that is shutting down drops the task immediately, which can take the lock.
            drop(state);
            runtime.spawn(run_fetch(Fetch { refresher: Arc::clone(self), sender }, now));
            TokenStatus::Fetching(fetch)
        } else {
            TokenStatus::Failed(no_runtime_error())
        };
        current.map_or(status, |current| TokenStatus::Usable(current.value.clone()))
    }

    /// Discards the current token, or only this one if it is the current one.
    pub(crate) fn invalidate(&self, only: Option<&HeaderValue>) {
        let now = self.settings.clock.now();
        // The lock keeps a fetch from storing a new token between the check and the removal.
        let _state = self.lock_state();
        let current = self.current.load();
        if let Some(current) = &*current
            && only.is_none_or(|value| *value == current.value)
            && !current.is_younger_than(self.settings.cooldown, now)
        {
            self.current.store(None);
        }
    }

    fn lock_state(&self) -> MutexGuard<'_, FetchState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Abandons a fetch that did not enforce its own timeout, so that the next one can start.
    fn abandon_fetch(&self, fetch: &watch::Receiver<FetchResult>) -> AttachError {
        let error = AttachError::because(
            AttachErrorKind::Timeout,
            "token fetch abandoned: the tokio runtime that it started in made no progress",
        );
        let now = self.settings.clock.now();
        let mut state = self.lock_state();
        if state.fetch.as_ref().is_some_and(|current| current.same_channel(fetch)) {
            let failures = state.failures.saturating_add(1);
            *state = FetchState { fetch: None, failure: Some((now, error.clone())), failures };
            drop(state);
            self.settings.observer.observe(&Event::TokenFetchFailed { error: &error });
        }
        error
    }
}

impl FetchState {
    /// Returns the fetch in progress, unless its runtime has shut down and dropped it.
    fn running_fetch(&self) -> Option<watch::Receiver<FetchResult>> {
        self.fetch.as_ref().filter(|fetch| fetch.has_changed().is_ok()).cloned()
    }

    /// Returns the last failure if it is more recent than the cooldown.
    fn recent_failure(&self, now: SystemTime, cooldown: Duration) -> Option<AttachError> {
        let (at, error) = self.failure.as_ref()?;
        clock::is_within(*at, cooldown, now).then(|| error.clone())
    }
}

/// Waits for a fetch in the runtime of the request.
async fn wait_for_token(
    refresher: Arc<TokenRefresher>,
    mut fetch: Option<watch::Receiver<FetchResult>>,
) -> Result<HeaderValue, AttachError> {
    if Handle::try_current().is_err() {
        return Err(no_runtime_error());
    }
    // The timeout of the fetch does not fire if its runtime makes no progress.
    let max_wait = refresher.settings.timeout.saturating_add(Duration::from_secs(1));
    for _ in 0..3 {
        if let Some(fetch) = &mut fetch {
            match timeout(max_wait, fetch_result(fetch)).await {
                Ok(Some(result)) => return result,
                // The runtime of the fetch has shut down, so try again in this one.
                Ok(None) => {}
                Err(_) => return Err(refresher.abandon_fetch(fetch)),
            }
        }
        match refresher.current_or_fetch() {
            TokenStatus::Usable(value) => return Ok(value),
            TokenStatus::Failed(error) => return Err(error),
            TokenStatus::Fetching(next) => fetch = Some(next),
        }
    }
    Err(no_runtime_error())
}

/// Waits for the result of a fetch. Returns `None` if the fetch is dropped before it ends.
async fn fetch_result(fetch: &mut watch::Receiver<FetchResult>) -> FetchResult {
    fetch.wait_for(Option::is_some).await.ok()?.clone()
}

/// Fetches a token. It is a task of its own, so requests that stop waiting do not cancel it.
async fn run_fetch(fetch: Fetch, requested_at: SystemTime) {
    let Settings { source, clock, timeout: limit, refresh_ahead, .. } = &fetch.refresher.settings;
    let result = match timeout(*limit, source.dyn_token()).await {
        Ok(Ok(token)) => CurrentToken::new(&token, requested_at, clock.now(), *refresh_ahead),
        Ok(Err(error)) => Err(AttachError::of_source(error)),
        Err(_) => Err(AttachError::because(
            AttachErrorKind::Timeout,
            format!("the token source did not return a token within {} s", limit.as_secs_f64()),
        )),
    };
    fetch.finish(result);
}

/// A fetch in progress. It is dropped unfinished if its runtime shuts down or the source panics.
struct Fetch {
    refresher: Arc<TokenRefresher>,
    sender: watch::Sender<FetchResult>,
}

impl Fetch {
    /// Stores the result, then sends it to the requests that wait for it.
    fn finish(&self, result: Result<CurrentToken, AttachError>) {
        let value = match &result {
            Ok(token) => Ok(token.value.clone()),
            Err(error) => Err(error.clone()),
        };
        let observer = &self.refresher.settings.observer;
        if let Err(error) = &result {
            observer.observe(&Event::TokenFetchFailed { error });
        }
        let mut succeeded_after = None;
        let now = self.refresher.settings.clock.now();
        let mut state = self.refresher.lock_state();
        let current = state.fetch.as_ref();
        // An abandoned fetch must not overwrite the state of its successor.
        if current.is_some_and(|current| current.same_channel(&self.sender.subscribe())) {
            let (failure, failures) = match result {
                Ok(token) => {
                    self.refresher.current.store(Some(Arc::new(token)));
                    succeeded_after = Some(state.failures);
                    (None, 0)
                }
                Err(error) => (Some((now, error)), state.failures.saturating_add(1)),
            };
            *state = FetchState { fetch: None, failure, failures };
        }
        drop(state);
        if let Some(failures) = succeeded_after {
            observer.observe(&Event::TokenFetched { failures });
        }
        self.sender.send_replace(Some(value));
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        // Dropping the sender wakes the waiting requests. A panic counts as a failed fetch, so that
        // they do not all call the source again.
        if thread::panicking() {
            let error = AttachError::because(AttachErrorKind::Source, "the token source panicked");
            self.finish(Err(error));
        }
    }
}

fn no_runtime_error() -> AttachError {
    AttachError::because(
        AttachErrorKind::Runtime,
        "no tokio runtime to fetch the token in: send requests from within a tokio runtime",
    )
}
