use std::{
    fmt,
    time::{Duration, SystemTime},
};

use super::{fetch::FetchError, live_keys::LiveKeys, state::Snapshot};
use crate::jwt::keys::skipped::SkippedKey;

/// The state of the keys of an issuer, for readiness probes and monitoring.
///
/// The `Display` text is one line without key ids and errors.
///
/// ```
/// # use tower_auth::JwtAuth;
/// fn readiness(tokens: &JwtAuth) -> (http::StatusCode, String) {
///     match tokens.health() {
///         Some(health) if !health.is_ready() => {
///             (http::StatusCode::SERVICE_UNAVAILABLE, health.to_string())
///         }
///         Some(health) => (http::StatusCode::OK, health.to_string()),
///         None => (http::StatusCode::OK, "the keys are fixed".into()),
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Health {
    now: SystemTime,
    /// The time of the last successful fetch, and the time until which the keys are fresh.
    times: Option<[SystemTime; 2]>,
    /// Whether the keys are fresh or stale.
    is_usable: bool,
    has_keys: bool,
    key_ids: Vec<Box<str>>,
    skipped: Vec<SkippedKey>,
    failures: u32,
    last_error: Option<FetchError>,
    next_refresh: Duration,
}

impl Health {
    /// Returns whether there are usable keys, fresh or stale.
    ///
    /// An empty key set, and one without a key for the allowed algorithms, has none.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_usable && self.has_keys
    }

    /// Returns whether the keys are no longer fresh and have not been replaced yet.
    ///
    /// This is normal for a short time. During an outage, stale keys stay in use for
    /// [`max_stale`](crate::jwt::Jwks::max_stale).
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.times.is_some_and(|[_, fresh_until]| self.now >= fresh_until)
    }

    /// Returns the time of the last successful fetch.
    #[must_use]
    pub fn last_success(&self) -> Option<SystemTime> {
        self.times.map(|[fetched_at, _]| fetched_at)
    }

    /// Returns the time since the last successful fetch.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.last_success().map(|at| self.now.duration_since(at).unwrap_or_default())
    }

    /// Returns the `kid`s of all usable keys that have one, sorted.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.key_ids.iter().map(|id| &**id)
    }

    /// Returns the members of the key set that are not used, with reasons.
    #[must_use]
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }

    /// Returns the number of failed fetches since the last successful one.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Returns the error of the last fetch, or `None` if that fetch succeeded.
    ///
    /// The error can contain internal URLs and addresses. Do not show it to the public.
    #[must_use]
    pub fn last_error(&self) -> Option<&FetchError> {
        self.last_error.as_ref()
    }

    /// Returns the time until the next scheduled fetch.
    ///
    /// A token with an unknown `kid` can trigger a fetch earlier.
    #[must_use]
    pub fn next_refresh(&self) -> Duration {
        self.next_refresh
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.age(), self.is_usable, self.is_stale()) {
            (None, ..) => f.write_str("no keys yet")?,
            (Some(age), usable, stale) => {
                let state = match (usable, stale) {
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
        let current = current.as_deref();
        let key_ids = |current: &Snapshot| current.keys.key_ids().map(Box::from).collect();
        let mut key_ids: Vec<Box<str>> = current.map(key_ids).unwrap_or_default();
        key_ids.sort_unstable();
        let state = shared.state();
        Health {
            now,
            times: current.map(|current| [current.fetched_at, current.fresh_until]),
            is_usable: current.is_some_and(|current| current.is_usable(now)),
            has_keys: current.is_some_and(|current| !current.keys.is_empty()),
            key_ids,
            skipped: current.map(|current| current.keys.skipped.clone()).unwrap_or_default(),
            failures: state.failures,
            last_error: state.error.clone(),
            next_refresh: shared.due.remaining(now),
        }
    }
}
