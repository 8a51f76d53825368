use std::{
    fmt,
    time::{Duration, SystemTime},
};

use super::{fetch::FetchError, live_keys::LiveKeys, state::Snapshot};
use crate::jwt::keys::skipped::SkippedKey;

/// How the keys of a live issuer are.
///
/// ```
/// # use tower_auth::JwtAuth;
/// fn readiness(tokens: &JwtAuth) -> (http::StatusCode, String) {
///     match tokens.health() {
///         Some(health) if !health.is_ready() => {
///             (http::StatusCode::SERVICE_UNAVAILABLE, health.to_string())
///         }
///         Some(health) => (http::StatusCode::OK, health.to_string()),
///         None => (http::StatusCode::OK, "keys were given".into()),
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Health {
    now: SystemTime,
    /// When keys were last fetched, and until when they are fresh.
    times: Option<[SystemTime; 2]>,
    is_ready: bool,
    key_ids: Vec<Box<str>>,
    skipped: Vec<SkippedKey>,
    failures: u32,
    last_error: Option<FetchError>,
    next_refresh: Duration,
}

impl Health {
    /// Whether there are keys that may be used.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Whether the keys are no longer fresh, and serve because new ones cannot be had.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.times.is_some_and(|[_, fresh_until]| self.now >= fresh_until)
    }

    /// When keys were last fetched.
    #[must_use]
    pub fn last_success(&self) -> Option<SystemTime> {
        self.times.map(|[fetched_at, _]| fetched_at)
    }

    /// How long ago that was.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.last_success().map(|at| self.now.duration_since(at).unwrap_or_default())
    }

    /// The `kid` of each key that can verify and has one, in order.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.key_ids.iter().map(|id| &**id)
    }

    /// The members of the set that are not used, and why.
    #[must_use]
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }

    /// How many fetches have failed since the last that did not.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Why the last of them failed. It may name URLs and addresses of the issuer's network.
    #[must_use]
    pub fn last_error(&self) -> Option<&FetchError> {
        self.last_error.as_ref()
    }

    /// How long it is until keys are fetched again, if nothing asks for it earlier.
    #[must_use]
    pub fn next_refresh(&self) -> Duration {
        self.next_refresh
    }
}

/// One line, without the names of keys and what went wrong.
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.age(), self.is_ready(), self.is_stale()) {
            (None, ..) => f.write_str("no keys yet")?,
            (Some(age), ready, stale) => {
                let state = match (ready, stale) {
                    (false, _) => "too old",
                    (_, true) => "stale",
                    _ => "fresh",
                };
                write!(f, "{} keys, {state}, {} s old", self.key_ids.len(), age.as_secs())?;
            }
        }
        write!(f, "; {} failures, next fetch in {} s", self.failures, self.next_refresh.as_secs())
    }
}

impl LiveKeys {
    pub(crate) fn health(&self) -> Health {
        let shared = self.shared();
        let (now, current) = (shared.clock.now(), shared.keys.load_full());
        let times = |keys: &Snapshot| [keys.fetched_at, keys.fresh_until];
        let names = |keys: &Snapshot| keys.keys.key_ids().map(Box::from).collect();
        let current = current.as_deref();
        let mut key_ids: Vec<Box<str>> = current.map(names).unwrap_or_default();
        key_ids.sort_unstable();
        let state = shared.state();
        Health {
            now,
            times: current.map(times),
            is_ready: current.is_some_and(|keys| keys.is_usable(now)),
            key_ids,
            skipped: current.map(|keys| keys.keys.skipped.clone()).unwrap_or_default(),
            failures: state.failures,
            last_error: state.error.clone(),
            next_refresh: shared.due_in(now),
        }
    }
}
