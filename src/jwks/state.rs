//! The keys and what the refresher and waiting requests share.

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

use super::{fetch::FetchError, schedule::Pace};
use crate::{
    clock::{self, Clock, Deadline},
    jwt::keys::prepared::{Preparation, PreparedKeys},
    rejection::{Rejection, RejectionKind},
};

/// How many names that no key has are remembered.
const MAX_UNKNOWN: usize = 1024;

pub(crate) struct Shared {
    pub(crate) keys: ArcSwapOption<Snapshot>,
    pub(crate) preparation: Preparation,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) pace: Pace,
    /// Wakes the task.
    pub(crate) wake: Notify,
    /// When the next fetch is due. Requests read it.
    pub(crate) due: Deadline,
    /// Fetches begun and ended, counted; written under the lock of `state`.
    pub(crate) begun: AtomicU64,
    pub(crate) ended: AtomicU64,
    pub(crate) state: Mutex<State>,
    pub(crate) hasher: RandomState,
}

/// Keys as they were fetched.
pub(crate) struct Snapshot {
    pub(crate) keys: Arc<PreparedKeys>,
    pub(crate) fetched_at: SystemTime,
    pub(crate) fresh_until: SystemTime,
    pub(crate) usable_until: SystemTime,
}

/// What the task and those who wait for it tell each other. Nobody who has a key comes here.
#[derive(Default)]
pub(crate) struct State {
    /// A fetch was asked for, and has not begun.
    pub(crate) wanted: bool,
    /// When a name that no key has last caused a fetch.
    last_unknown: Option<SystemTime>,
    /// Names that were looked for and not found, hashed, and until when they are not looked for again.
    pub(crate) unknown: HashMap<u64, SystemTime>,
    pub(crate) failures: u32,
    pub(crate) error: Option<FetchError>,
    pub(crate) retry_at: Option<SystemTime>,
}

/// What a request knew of fetches before it looked at the keys.
pub(crate) struct Seen {
    pub(crate) begun: u64,
    pub(crate) ended: u64,
}

/// What to do about keys that are not there.
pub(crate) enum Next {
    /// Look again: a fetch has ended meanwhile.
    Look,
    /// Look again once this many fetches have ended.
    Await(u64),
    NotNow,
    Unavailable(Rejection),
}

impl Snapshot {
    pub(crate) fn is_usable(&self, now: SystemTime) -> bool {
        now < self.usable_until && !clock::is_in_future(self.fetched_at, now)
    }
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_due(&self, now: SystemTime) -> bool {
        self.due.has_passed(now, self.pace.longest())
    }

    /// Asks for the fetch that is due, unless somebody was faster: one request in a while comes here.
    pub(crate) fn want(&self, now: SystemTime) -> bool {
        let mut state = self.state();
        if !self.is_due(now) {
            return false;
        }
        self.put_off(now + self.pace.timeout);
        // One that is under way, and takes long, is not to be followed by another at once.
        state.wanted |= self.begun.load(Ordering::Acquire) == self.ended.load(Ordering::Acquire);
        true
    }

    pub(crate) fn put_off(&self, until: SystemTime) {
        self.due.set(until);
    }

    /// Begins a fetch, under the lock.
    pub(crate) fn begin(&self) {
        let mut state = self.state();
        self.put_off(self.clock.now() + self.pace.timeout);
        state.wanted = false;
        self.begun.fetch_add(1, Ordering::Release);
    }

    /// Ends what was begun; the keys that it brought are in place by now.
    pub(crate) fn end(&self) -> u64 {
        let _state = self.state();
        let ended = self.begun.load(Ordering::Acquire);
        self.ended.store(ended, Ordering::Release);
        ended
    }

    /// Ends what a task that is no more had begun.
    pub(crate) fn give_up(&self) -> u64 {
        self.state().wanted = true;
        self.end()
    }

    pub(crate) fn next(&self, seen: &mut Seen, name: Option<&Option<Box<str>>>) -> Next {
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
    pub(crate) fn unavailable(&self) -> Option<Rejection> {
        self.state().unavailable(self.clock.now())
    }

    fn backing_off(&self, state: &State, now: SystemTime) -> Option<Rejection> {
        clock::time_left(state.retry_at?, now, self.pace.longest())?;
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
