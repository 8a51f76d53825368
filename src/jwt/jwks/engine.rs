//! Keys that are read without a lock, and fetched by one task for all.

use std::{
    collections::HashMap,
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
    time::timeout,
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
    /// Fetches begun and ended, counted; written under the lock of `state`.
    begun: AtomicU64,
    ended: AtomicU64,
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
    /// A fetch was asked for, and has not begun.
    pub(super) wanted: bool,
    /// When a name that no key has last caused a fetch.
    last_unknown: Option<SystemTime>,
    /// Names that were looked for and not found, hashed, and until when they are not looked for again.
    pub(super) unknown: HashMap<u64, SystemTime>,
    pub(super) failures: u32,
    pub(super) error: Option<FetchError>,
    pub(super) retry_at: Option<SystemTime>,
}

/// What a request knew of fetches before it looked at the keys.
pub(in crate::jwt) struct Seen {
    begun: u64,
    ended: u64,
}

/// What to do about keys that are not there.
enum Next {
    /// Look again: a fetch has ended meanwhile.
    Look,
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
    pub(in crate::jwt) fn current(&self, now: SystemTime) -> Option<Guard<Option<Arc<Snapshot>>>> {
        if self.shared.is_due(now) && self.shared.want(now) {
            let _ = self.task();
            self.shared.wake.notify_one();
        }
        let keys = self.shared.keys.load();
        keys.as_ref().is_some_and(|keys| keys.is_usable(now)).then_some(keys)
    }

    /// Whether [`Self::current`] asks for a fetch.
    pub(in crate::jwt) fn is_due(&self, now: SystemTime) -> bool {
        self.shared.is_due(now)
    }

    /// What [`Self::look_again`] takes as the time of arrival. Ask before you look at the keys.
    pub(in crate::jwt) fn seen(&self) -> Seen {
        let ended = self.shared.ended.load(Ordering::Acquire);
        Seen { begun: self.shared.begun.load(Ordering::Acquire), ended }
    }

    /// Waits until there may be keys that were not there before: for the first ones, or, where a name is
    /// given, for one of that name. `false` says that there is nothing to wait for.
    pub(in crate::jwt) async fn look_again(
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
        self.abort();
    }
}

impl Snapshot {
    pub(super) fn is_usable(&self, now: SystemTime) -> bool {
        // Keys from the future were fetched by a clock that was turned back since: how old they are, nobody knows.
        now < self.usable_until && self.fetched_at <= now + Duration::from_secs(60)
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
        if !self.is_due(now) {
            return false;
        }
        self.put_off(now + self.pace.timeout);
        // One that is under way, and takes long, is not to be followed by another at once.
        state.wanted |= self.begun.load(Ordering::Acquire) == self.ended.load(Ordering::Acquire);
        true
    }

    pub(super) fn put_off(&self, until: SystemTime) {
        self.due.store(millis(until), Ordering::Relaxed);
    }

    /// Begins a fetch, under the lock.
    pub(super) fn begin(&self) {
        let mut state = self.state();
        self.put_off(self.clock.now() + self.pace.timeout);
        state.wanted = false;
        self.begun.fetch_add(1, Ordering::Release);
    }

    /// Ends what was begun; the keys that it brought are in place by now.
    pub(super) fn end(&self) -> u64 {
        let _state = self.state();
        let ended = self.begun.load(Ordering::Acquire);
        self.ended.store(ended, Ordering::Release);
        ended
    }

    /// Ends what a task that is no more had begun.
    fn give_up(&self) -> u64 {
        self.state().wanted = true;
        self.end()
    }

    fn next(&self, seen: &mut Seen, name: Option<&Option<Box<str>>>) -> Next {
        let now = self.clock.now();
        let mut state = self.state();
        let [begun, ended] = [&self.begun, &self.ended].map(|count| count.load(Ordering::Acquire));
        if ended != seen.ended {
            seen.ended = ended;
            return Next::Look;
        }
        if begun > ended {
            return Next::Await(begun);
        }
        if state.wanted {
            return Next::Await(begun + 1);
        }
        if let Some(rejection) = self.backing_off(&state, now) {
            return Next::Unavailable(rejection);
        }
        if let Some(name) = name {
            // Only a name can be told from another: what has none is held back by the cooldown alone.
            let name = name.as_ref().map(|name| self.hasher.hash_one(name));
            if ended > seen.begun {
                // A fetch that began after the request came did not bring the key.
                name.inspect(|name| state.remember_unknown(*name, now, self.pace.cooldown));
                return Next::NotNow;
            }
            let since = state.last_unknown.map(|last| now.duration_since(last));
            let cooling = matches!(since, Some(Ok(since)) if since < self.pace.cooldown);
            let until = name.and_then(|name| state.unknown.get(&name));
            if cooling || until.is_some_and(|until| now < *until) {
                return Next::NotNow;
            }
            state.last_unknown = Some(now);
        }
        state.wanted = true;
        Next::Await(begun + 1)
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
    /// For a few cooldowns, so that nobody can keep a name from ever being found.
    fn remember_unknown(&mut self, name: u64, now: SystemTime, cooldown: Duration) {
        if self.unknown.len() >= MAX_UNKNOWN {
            self.unknown.retain(|_, until| now < *until);
        }
        if self.unknown.len() < MAX_UNKNOWN {
            self.unknown.insert(name, now + cooldown * 4);
        }
    }

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
