use std::{
    fmt,
    time::{Duration, SystemTime},
};

use super::{fetch::FetchError, live_keys::LiveKeys, state::Snapshot};
#[cfg(feature = "health")]
use crate::health::component::{ComponentHealth, Reason};
use crate::jwt::keys::skipped::SkippedKey;

/// The state of the keys of an issuer, for monitoring.
///
/// `health::Health` (feature `health`) is a service for readiness probes that includes it.
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
pub struct KeysHealth {
    now: SystemTime,
    /// The time of the last successful fetch, and the time until which the keys are fresh.
    times: Option<[SystemTime; 2]>,
    /// Whether the keys are fresh or stale.
    is_usable: bool,
    has_keys: bool,
    #[cfg(feature = "health")]
    keys: usize,
    key_ids: Vec<Box<str>>,
    skipped: Vec<SkippedKey>,
    failures: u32,
    last_error: Option<FetchError>,
    next_refresh: Duration,
}

impl KeysHealth {
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

    fn freshness(&self) -> &'static str {
        match (self.is_usable, self.is_stale()) {
            (false, _) => "too old",
            (_, true) => "stale",
            _ => "fresh",
        }
    }

    #[cfg(feature = "health")]
    pub(crate) fn component(&self) -> ComponentHealth {
        let state = match (self.times, self.freshness()) {
            (None, _) => "none",
            (_, "too old") => "too_old",
            (_, freshness) => freshness,
        };
        let reason = (!self.is_ready()).then_some(Reason::NoKeys);
        let mut component = match &self.last_error {
            Some(error) => ComponentHealth::new(reason).with_error(error.clone()),
            None => ComponentHealth::new(reason),
        };
        component = component.with_text("state", state).with("keys", self.keys);
        if let Some(age) = self.age() {
            component = component.with("age_s", age.as_secs());
        }
        let next_fetch = self.next_refresh.as_secs();
        component.with("failures", self.failures).with("next_fetch_s", next_fetch)
    }
}

impl fmt::Display for KeysHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.age(), self.freshness()) {
            (None, _) => f.write_str("no keys yet")?,
            (Some(age), freshness) => {
                write!(f, "{} keys, {freshness}, {} s old", self.key_ids.len(), age.as_secs())?;
            }
        }
        write!(f, "; {} failures, next fetch in {} s", self.failures, self.next_refresh.as_secs())
    }
}

impl LiveKeys {
    /// Returns the state, and starts the task that fetches the keys if it is not running.
    ///
    /// Otherwise, a service that was built outside a runtime would never become ready: it gets no
    /// request before it is, and only a request would start the task.
    #[cfg(feature = "health")]
    pub(crate) fn checked_health(&self) -> KeysHealth {
        let _ = self.ensure_task();
        self.health()
    }

    pub(crate) fn health(&self) -> KeysHealth {
        let shared = self.shared();
        let (now, current) = (shared.clock.now(), shared.keys.load_full());
        let current = current.as_deref();
        let key_ids = |current: &Snapshot| current.keys.key_ids().map(Box::from).collect();
        let mut key_ids: Vec<Box<str>> = current.map(key_ids).unwrap_or_default();
        key_ids.sort_unstable();
        let state = shared.state();
        KeysHealth {
            now,
            times: current.map(|current| [current.fetched_at, current.fresh_until]),
            is_usable: current.is_some_and(|current| current.is_usable(now)),
            has_keys: current.is_some_and(|current| !current.keys.is_empty()),
            #[cfg(feature = "health")]
            keys: current.map_or(0, |current| current.keys.len()),
            key_ids,
            skipped: current.map(|current| current.keys.skipped.clone()).unwrap_or_default(),
            failures: state.failures,
            last_error: state.error.clone(),
            next_refresh: shared.due.remaining(now),
        }
    }
}
