//! Keys that are read without a lock, and fetched by one task for all.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::{ArcSwapOption, Guard};
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    task::AbortHandle,
};

use super::{FetchError, Jwks, pace::Pace, refresh, source::Source};
use crate::{
    ConfigError, Rejection, RejectionKind,
    clock::Clock,
    jwt::prepared::{Preparation, PreparedKeys},
};

/// How many names that no key has are remembered.
const MAX_UNKNOWN: usize = 1024;

/// The keys of one [`Jwks`]. The task that fetches them ends with it.
pub(in crate::jwt) struct Engine {
    shared: Arc<Shared>,
    jwks: Jwks,
    task: Mutex<Option<Task>>,
}

struct Task {
    /// How many fetches have ended. Its sender is the task's.
    ended: watch::Receiver<u64>,
    abort: AbortHandle,
}

pub(super) struct Shared {
    pub(super) keys: ArcSwapOption<Snapshot>,
    pub(super) preparation: Preparation,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) pace: Pace,
    /// Wakes the task.
    pub(super) wake: Notify,
    /// When the next fetch is due, in milliseconds since 1970: what requests look at.
    pub(super) due: AtomicU64,
    state: Mutex<State>,
    hasher: RandomState,
}

/// Keys as they were fetched.
pub(in crate::jwt) struct Snapshot {
    pub(in crate::jwt) keys: Arc<PreparedKeys>,
    pub(super) fetched_at: SystemTime,
    pub(super) fresh_until: SystemTime,
    pub(super) usable_until: SystemTime,
}

/// What the task and those who wait for it tell each other. Nobody who has a key comes here.
#[derive(Default)]
pub(super) struct State {
    pub(super) begun: u64,
    pub(super) ended: u64,
    /// A fetch was asked for, and has not begun.
    pub(super) wanted: bool,
    /// It was asked for because of a name that no key has.
    pub(super) for_a_name: bool,
    /// When a name that no key has last caused a fetch.
    last_unknown: Option<SystemTime>,
    /// Names that were looked for and not found, hashed.
    pub(super) unknown: HashSet<u64>,
    pub(super) failures: u32,
    pub(super) error: Option<FetchError>,
    pub(super) retry_at: Option<SystemTime>,
}

/// What to do about keys that are not there.
enum Next {
    /// Look again once this many fetches have ended.
    Await(u64),
    NotNow,
    Unavailable(Rejection),
}

impl Engine {
    pub(in crate::jwt) fn new(
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
                due: AtomicU64::new(0),
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
    pub(in crate::jwt) fn current(&self, now: SystemTime) -> Option<Guard<Option<Arc<Snapshot>>>> {
        if self.shared.is_due(now) && self.shared.want(now) {
            let _ = self.task();
            self.shared.wake.notify_one();
        }
        let keys = self.shared.keys.load();
        keys.as_ref().is_some_and(|keys| now < keys.usable_until).then_some(keys)
    }

    /// How many fetches had begun: what [`Self::look_again`] takes as the time of arrival.
    pub(in crate::jwt) fn begun(&self) -> u64 {
        self.shared.state().begun
    }

    /// Waits until there may be keys that were not there before: for the first ones, or, where a name is
    /// given, for one of that name. `false` says that there is nothing to wait for.
    pub(in crate::jwt) async fn look_again(
        &self,
        arrived: u64,
        name: Option<&Option<Box<str>>>,
    ) -> Result<bool, Rejection> {
        let mut ended = self.task()?;
        let number = match self.shared.next(arrived, name) {
            Next::Await(number) => number,
            Next::NotNow => return Ok(false),
            Next::Unavailable(rejection) => return Err(rejection),
        };
        self.shared.wake.notify_one();
        // The task is gone where the runtime is, or where a user's `Fetch` panicked.
        let waited = ended.wait_for(|ended| *ended >= number).await.is_ok();
        match self.shared.unavailable() {
            Some(rejection) => Err(rejection),
            None if waited => Ok(true),
            None => {
                Err(Rejection::new(RejectionKind::Unavailable).because("the fetch was given up"))
            }
        }
    }

    pub(super) fn shared(&self) -> &Shared {
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
        let run = refresh::run(Arc::clone(&self.shared), source, sender);
        let abort = runtime.spawn(run).abort_handle();
        *task = Some(Task { ended: ended.clone(), abort });
        Ok(ended)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task {
            task.abort.abort();
        }
    }
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_due(&self, now: SystemTime) -> bool {
        let (now, due) = (millis(now), self.due.load(Ordering::Relaxed));
        // The latter where the clock was turned back.
        now >= due || due - now > u64::try_from(self.pace.longest().as_millis()).unwrap_or(u64::MAX)
    }

    /// Asks for the fetch that is due, unless somebody was faster: one request in a while comes here.
    fn want(&self, now: SystemTime) -> bool {
        let mut state = self.state();
        let wanted = self.is_due(now);
        if wanted {
            self.put_off(now + self.pace.timeout);
            state.wanted = true;
        }
        wanted
    }

    pub(super) fn put_off(&self, until: SystemTime) {
        self.due.store(millis(until), Ordering::Relaxed);
    }

    /// Ends what a task that is no more had begun.
    fn give_up(&self) -> u64 {
        let mut state = self.state();
        state.ended = state.begun;
        state.wanted = true;
        state.ended
    }

    fn next(&self, arrived: u64, name: Option<&Option<Box<str>>>) -> Next {
        let now = self.clock.now();
        let mut state = self.state();
        let looked_for = name.map(|name| self.hasher.hash_one(name));
        if let Some(name) = looked_for
            && state.ended > arrived
        {
            // A fetch that began after the request came did not bring the key.
            if state.unknown.len() < MAX_UNKNOWN {
                state.unknown.insert(name);
            }
            return Next::NotNow;
        }
        if state.begun > state.ended {
            return Next::Await(state.begun);
        }
        if state.wanted {
            return Next::Await(state.begun + 1);
        }
        if let Some(rejection) = self.backing_off(&state, now) {
            return Next::Unavailable(rejection);
        }
        if let Some(name) = looked_for {
            let since = state.last_unknown.map(|last| now.duration_since(last));
            let cooling = matches!(since, Some(Ok(since)) if since < self.pace.cooldown);
            if cooling || state.unknown.contains(&name) {
                return Next::NotNow;
            }
            state.last_unknown = Some(now);
            state.for_a_name = true;
        }
        state.wanted = true;
        Next::Await(state.begun + 1)
    }

    /// A refusal where the last fetch failed, whose `Retry-After` is when the next one may not.
    pub(super) fn unavailable(&self) -> Option<Rejection> {
        self.state().unavailable(self.clock.now())
    }

    fn backing_off(&self, state: &State, now: SystemTime) -> Option<Rejection> {
        // A time that is too far away is that of a clock which was turned back.
        let waits = state.retry_at.and_then(|at| at.duration_since(now).ok());
        waits.filter(|wait| !wait.is_zero() && *wait <= self.pace.longest())?;
        state.unavailable(now)
    }
}

impl State {
    fn unavailable(&self, now: SystemTime) -> Option<Rejection> {
        let error = self.error.clone()?;
        let wait = self.retry_at.and_then(|at| at.duration_since(now).ok()).unwrap_or_default();
        let wait = wait.max(Duration::from_secs(1));
        Some(Rejection::new(RejectionKind::Unavailable).with_retry_after(wait).because(error))
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
