//! A token that is read without a lock, and fetched once for all who wait.

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
    error::{AttachError, AttachErrorKind},
    present::Present,
    source::DynSource,
};
use crate::clock::{self, Clock};

/// What a [`RefreshingToken`](super::RefreshingToken) and its clones have in common.
pub(crate) struct Engine {
    pub(crate) settings: Settings,
    present: ArcSwapOption<Present>,
    state: Mutex<State>,
}

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) source: Arc<dyn DynSource>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) timeout: Duration,
    pub(crate) cooldown: Duration,
    pub(crate) refresh_ahead: Duration,
}

/// How a fetch ended, or `None` while it is under way.
type Outcome = Option<Result<HeaderValue, AttachError>>;

/// What the fetch and those who wait for it tell each other. Nobody whose token is fresh comes here.
#[derive(Default)]
struct State {
    /// The fetch under way.
    fetch: Option<watch::Receiver<Outcome>>,
    /// The last fetch, where it failed, and when.
    failure: Option<(SystemTime, AttachError)>,
}

/// What there is for a request.
pub(crate) enum Look {
    There(HeaderValue),
    Await(watch::Receiver<Outcome>),
    Failed(AttachError),
}

impl Engine {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, present: ArcSwapOption::empty(), state: Mutex::default() }
    }

    pub(crate) fn authorization(self: &Arc<Self>) -> Authorization {
        match self.look() {
            Look::There(value) => Authorization::ready(Ok(value)),
            Look::Await(fetch) => Authorization::pending(wait(Arc::clone(self), Some(fetch))),
            // `block_on` is called with what was made outside of its runtime.
            Look::Failed(error) if error.kind() == AttachErrorKind::Runtime => {
                Authorization::pending(wait(Arc::clone(self), None))
            }
            Look::Failed(error) => Authorization::ready(Err(error)),
        }
    }

    /// The token, where it is good. Where it is not, or will not be for long, a fetch is begun, unless there is
    /// one or the last one failed just now.
    pub(crate) fn look(self: &Arc<Self>) -> Look {
        let now = self.settings.clock.now();
        if let Some(present) = &*self.present.load()
            && present.is_usable(now)
            && !present.is_due(now)
        {
            return Look::There(present.value.clone());
        }
        let mut state = self.state();
        // Again, since a fetch may have ended meanwhile: with the lock, none can.
        let present = self.present.load_full().filter(|present| present.is_usable(now));
        if let Some(present) = present.as_ref().filter(|present| !present.is_due(now)) {
            return Look::There(present.value.clone());
        }
        let look = if let Some(fetch) = state.under_way() {
            Look::Await(fetch)
        } else if let Some(error) = state.cooling(now, self.settings.cooldown) {
            Look::Failed(error)
        } else if let Ok(runtime) = Handle::try_current() {
            let (sender, fetch) = watch::channel(None);
            state.fetch = Some(fetch.clone());
            // A runtime that is shutting down drops the task at once, and that may take the lock.
            drop(state);
            runtime.spawn(run(Fetch { engine: Arc::clone(self), sender }, now));
            Look::Await(fetch)
        } else {
            Look::Failed(no_runtime())
        };
        present.map_or(look, |present| Look::There(present.value.clone()))
    }

    pub(crate) fn invalidate(&self) {
        let now = self.settings.clock.now();
        // A fetch that ends now has its token in place before, or after.
        let _state = self.state();
        let present = self.present.load();
        if let Some(present) = &*present
            && !present.is_younger_than(self.settings.cooldown, now)
        {
            self.present.store(None);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives up a fetch that did not even end in time, so that the next one can begin.
    fn give_up(&self, fetch: &watch::Receiver<Outcome>) -> AttachError {
        let error = AttachError::because(
            AttachErrorKind::Timeout,
            "the fetch of a token was given up: the runtime that it began in is at a stand",
        );
        let now = self.settings.clock.now();
        let mut state = self.state();
        if state.fetch.as_ref().is_some_and(|current| current.same_channel(fetch)) {
            *state = State { fetch: None, failure: Some((now, error.clone())) };
        }
        error
    }
}

impl State {
    /// The fetch under way, unless its runtime has ended and took it along.
    fn under_way(&self) -> Option<watch::Receiver<Outcome>> {
        self.fetch.as_ref().filter(|fetch| fetch.has_changed().is_ok()).cloned()
    }

    /// Returns the last failure if it is more recent than the cooldown.
    fn cooling(&self, now: SystemTime, cooldown: Duration) -> Option<AttachError> {
        let (at, error) = self.failure.as_ref()?;
        clock::is_within(*at, cooldown, now).then(|| error.clone())
    }
}

/// Waits for a fetch, in the runtime of the request.
async fn wait(
    engine: Arc<Engine>,
    mut fetch: Option<watch::Receiver<Outcome>>,
) -> Result<HeaderValue, AttachError> {
    if Handle::try_current().is_err() {
        return Err(no_runtime());
    }
    // The fetch has a bound of its own, in a runtime that may be at a stand.
    let patience = engine.settings.timeout.saturating_add(Duration::from_secs(1));
    for _ in 0..3 {
        if let Some(fetch) = &mut fetch {
            match timeout(patience, ended(fetch)).await {
                Ok(Some(outcome)) => return outcome,
                // The runtime that it began in has ended. This one has not.
                Ok(None) => {}
                Err(_) => return Err(engine.give_up(fetch)),
            }
        }
        match engine.look() {
            Look::There(value) => return Ok(value),
            Look::Failed(error) => return Err(error),
            Look::Await(next) => fetch = Some(next),
        }
    }
    Err(no_runtime())
}

/// How it ended, or `None` where it was dropped before.
async fn ended(fetch: &mut watch::Receiver<Outcome>) -> Outcome {
    fetch.wait_for(Option::is_some).await.ok()?.clone()
}

/// Fetches a token, however many of those who wait for it go away.
async fn run(fetch: Fetch, asked_at: SystemTime) {
    let Settings { source, clock, timeout: most, refresh_ahead, .. } = &fetch.engine.settings;
    let answer = timeout(*most, source.token_boxed()).await;
    let outcome = match answer {
        Ok(Ok(token)) => Present::new(&token, asked_at, clock.now(), *refresh_ahead),
        Ok(Err(error)) => Err(AttachError::new(error)),
        Err(_) => Err(AttachError::because(
            AttachErrorKind::Timeout,
            format!("the source gave no token within {} s", most.as_secs_f64()),
        )),
    };
    fetch.end(outcome);
}

/// A fetch under way, which is ended, or dropped where its runtime ends or the source panics.
struct Fetch {
    engine: Arc<Engine>,
    sender: watch::Sender<Outcome>,
}

impl Fetch {
    fn end(&self, outcome: Result<Present, AttachError>) {
        let answer = match &outcome {
            Ok(present) => Ok(present.value.clone()),
            Err(error) => Err(error.clone()),
        };
        #[cfg(feature = "tracing")]
        if let Err(error) = &outcome {
            tracing::warn!(%error, "a token cannot be fetched");
        }
        let now = self.engine.settings.clock.now();
        let mut state = self.engine.state();
        let current = state.fetch.as_ref();
        // One that was given up has nothing to say any more.
        if current.is_some_and(|current| current.same_channel(&self.sender.subscribe())) {
            let failure = match outcome {
                Ok(present) => {
                    self.engine.present.store(Some(Arc::new(present)));
                    None
                }
                Err(error) => Some((now, error)),
            };
            *state = State { fetch: None, failure };
        }
        drop(state);
        self.sender.send_replace(Some(answer));
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        // Those who wait see the channel's end. A source that panics is not to be asked by each of them.
        if thread::panicking() {
            self.end(Err(AttachError::because(AttachErrorKind::Source, "the source panicked")));
        }
    }
}

fn no_runtime() -> AttachError {
    AttachError::because(
        AttachErrorKind::Runtime,
        "tokens are fetched by tokio: send requests within a tokio runtime",
    )
}
