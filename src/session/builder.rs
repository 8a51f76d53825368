use std::{error::Error, fmt, future::Future, sync::Arc, time::Duration};

use super::{
    known::KnownSessions,
    record::whole_millis,
    refresh::{RefreshClosure, erase},
    sessions::{Sessions, State},
};
use crate::{
    clock::{Clock, SharedClock, SystemClock},
    config_error::ConfigError,
    credentials::{cross_site::CrossSite, location::TokenLocation, set_cookie::SetCookie},
    header::{Challenge, Scheme},
    observe::{Observe, observer::Observer},
    principal::Principal,
    revocation::Revocations,
    store::sealed_store::SealedStore,
};

/// Builds [`Sessions`].
#[must_use]
pub struct SessionsBuilder {
    store: SealedStore,
    revocations: Option<Revocations>,
    cookie_name: Box<str>,
    pub(super) cross_site: CrossSite,
    idle: Option<Duration>,
    absolute: Duration,
    refresh: Option<RefreshClosure>,
    refresh_interval: Option<Duration>,
    refresh_timeout: Option<Duration>,
    staleness: Duration,
    clock: Arc<dyn Clock>,
    observer: Observer,
}

impl SessionsBuilder {
    pub(super) fn new(store: SealedStore) -> Self {
        Self {
            store,
            revocations: None,
            cookie_name: "__Host-session".into(),
            cross_site: CrossSite::default(),
            idle: None,
            absolute: Duration::from_secs(12 * 60 * 60),
            refresh: None,
            refresh_interval: None,
            refresh_timeout: None,
            staleness: Duration::ZERO,
            clock: Arc::new(SystemClock),
            observer: Observer::default(),
        }
    }

    /// Sets the name of the cookie. The default is `__Host-session`. The name must start with
    /// `__Host-`.
    ///
    /// # Security
    ///
    /// A session is valid only under the name with which it was started. Applications with
    /// different users need different names or stores: otherwise, a user of one is the user of the
    /// other with the same subject.
    pub fn cookie_name(mut self, name: impl Into<Box<str>>) -> Self {
        self.cookie_name = name.into();
        self
    }

    /// Ends a session that was not used for this time, at least 1 s. The default is 30 min, or the
    /// [`absolute_lifetime`](Self::absolute_lifetime) if that is shorter.
    ///
    /// The last use is written at most once a minute, and at most twice within this time. So a
    /// session can end up to a minute earlier.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle = Some(timeout);
        self
    }

    /// Ends a session this long after the login, also if it is used, at most 400 days. The default
    /// is 12 h.
    ///
    /// If this or the [`idle_timeout`](Self::idle_timeout) is shortened, existing sessions end
    /// earlier as well. All processes that share the store need the same lifetime: a process keeps
    /// its revocations only for the lifetime that it knows.
    pub fn absolute_lifetime(mut self, lifetime: Duration) -> Self {
        self.absolute = lifetime;
        self
    }

    /// Looks up the scopes and claims of the user again, every
    /// [`refresh_interval`](Self::refresh_interval).
    ///
    /// The closure gets the principal of the session. `Some` replaces its scopes and claims; the
    /// subject and the issuer must be the same, and `auth_time`, `acr` and `amr` do not change.
    /// `None` ends the session, for example because the user was disabled. An error is an outage:
    /// the request gets 503, and the next one calls the closure again.
    ///
    /// A process calls it once at a time for each session. Other requests of the session wait. A
    /// call that takes longer than the [`refresh_timeout`](Self::refresh_timeout) is an outage.
    ///
    /// ```
    /// use tower_auth::{ConfigError, Principal, session::Sessions, store::SealedStore};
    ///
    /// # async fn scopes_of(user: &str) -> Result<Option<Vec<String>>, std::io::Error> { Ok(None) }
    /// let sessions = Sessions::builder(SealedStore::memory())
    ///     .refresh(async |caller: Principal| {
    ///         // `None` if the user was deleted or disabled.
    ///         let scopes = scopes_of(caller.subject()).await?;
    ///         let refreshed = scopes.map(|scopes| caller.to_builder().scopes(scopes).build());
    ///         Ok::<_, std::io::Error>(refreshed)
    ///     })
    ///     .build()?;
    /// # Ok::<(), ConfigError>(())
    /// ```
    pub fn refresh<F, R, E>(mut self, closure: F) -> Self
    where
        F: Fn(Principal) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Option<Principal>, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.refresh = Some(erase(closure));
        self
    }

    /// Sets how often [`refresh`](Self::refresh) is called for a session that is used. The default
    /// is 10 min.
    pub fn refresh_interval(mut self, interval: Duration) -> Self {
        self.refresh_interval = Some(interval);
        self
    }

    /// Sets how long a call of [`refresh`](Self::refresh) may take. The default is 10 s.
    ///
    /// After that, its future is dropped, and the requests that wait for it get 503. The limit
    /// needs a tokio runtime with timers.
    pub fn refresh_timeout(mut self, timeout: Duration) -> Self {
        self.refresh_timeout = Some(timeout);
        self
    }

    /// Accepts a session without the store if this process has read it within this time, at most
    /// 5 min. The default is zero: the store is asked for each request.
    ///
    /// This saves round trips, but is no help in an outage: the time of the store is still needed,
    /// so requests get 503 if the connection to it is lost.
    ///
    /// # Security
    ///
    /// A session that another process has ended is accepted until then. A logout in this process
    /// takes effect at once.
    pub fn staleness(mut self, staleness: Duration) -> Self {
        self.staleness = staleness;
        self
    }

    /// Shares revocations with other parts, such as a
    /// [`BackchannelLogout`](crate::revocation::BackchannelLogout). By default, the sessions have
    /// their own, in their store.
    ///
    /// They must have a clone of the same [`SealedStore`], because one operation reads a session
    /// and what can revoke it. Their
    /// [`longest_token_life`](crate::revocation::RevocationsBuilder::longest_token_life) must be at
    /// least the [`absolute_lifetime`](Self::absolute_lifetime).
    pub fn revocations(mut self, revocations: Revocations) -> Self {
        self.revocations = Some(revocations);
        self
    }

    /// Sets the clock. The default is the system clock. See [`clock`](crate::clock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the observer of sessions. The default is the [default
    /// observer](crate::observe::set_default).
    pub fn observer(mut self, observer: impl Observe + 'static) -> Self {
        self.observer = Observer::default().with_observer(observer);
        self
    }

    /// Checks the configuration.
    ///
    /// # Errors
    ///
    /// Returns an error if the name of the cookie does not start with `__Host-`, if a time is out
    /// of range, or if the [`revocations`](Self::revocations) do not fit.
    pub fn build(self) -> Result<Sessions, ConfigError> {
        self.cross_site.validate()?;
        let clock = Arc::clone(&self.clock);
        let cookie = SetCookie::new(&*self.cookie_name)?.clock(move || clock.now());
        let challenge =
            Challenge::new(Scheme::COOKIE).with_param("cookie-name", &self.cookie_name)?;
        let idle = self.idle.unwrap_or(Self::DEFAULT_IDLE.min(self.absolute));
        self.check_times(idle)?;
        self.check_refresh()?;
        let revocations = match self.revocations {
            Some(revocations) if !revocations.store().is_same(&self.store) => {
                return Err(ConfigError::invalid(
                    "the revocations have another store than the sessions: create one SealedStore \
                     and pass clones of it to both",
                ));
            }
            Some(revocations) if revocations.longest_token_life() < self.absolute => {
                return Err(ConfigError::invalid(
                    "the longest_token_life of the revocations is below the absolute_lifetime of \
                     the sessions: set it to at least that",
                ));
            }
            Some(revocations) => revocations,
            None => Revocations::builder(self.store.clone())
                .longest_token_life(self.absolute)
                .clock(SharedClock(Arc::clone(&self.clock)))
                .shared_observer(self.observer.clone())
                .build()?,
        };
        Ok(Sessions(Arc::new(State {
            store: self.store,
            revocations,
            cookie,
            location: TokenLocation::cookie(&*self.cookie_name),
            cookie_name: self.cookie_name,
            challenge,
            cross_site: self.cross_site,
            idle,
            absolute: self.absolute,
            slide_interval: whole_millis(idle / 2).min(60_000),
            refresh: self.refresh,
            refresh_interval: self.refresh_interval.unwrap_or(Self::DEFAULT_REFRESH_INTERVAL),
            refresh_timeout: self.refresh_timeout.unwrap_or(Self::DEFAULT_REFRESH_TIMEOUT),
            staleness: self.staleness,
            known: KnownSessions::new(),
            clock: self.clock,
            observer: self.observer,
        })))
    }
}

impl SessionsBuilder {
    const DEFAULT_IDLE: Duration = Duration::from_secs(30 * 60);
    const DEFAULT_REFRESH_INTERVAL: Duration = Duration::from_secs(10 * 60);
    const DEFAULT_REFRESH_TIMEOUT: Duration = Duration::from_secs(10);
    const SHORTEST: Duration = Duration::from_secs(1);
    const MAX_ABSOLUTE: Duration = Duration::from_secs(400 * 24 * 60 * 60);
    const MAX_STALENESS: Duration = Duration::from_secs(300);

    fn check_times(&self, idle: Duration) -> Result<(), ConfigError> {
        if self.absolute < Self::SHORTEST || self.absolute > Self::MAX_ABSOLUTE {
            return Err(ConfigError::invalid(
                "absolute_lifetime must be from 1 s to 400 days: set it to the time after which a \
                 user has to log in again",
            ));
        }
        if idle < Self::SHORTEST {
            return Err(ConfigError::invalid(
                "idle_timeout must be at least 1 s: set it to the time without a request after \
                 which a session ends",
            ));
        }
        if idle > self.absolute {
            return Err(ConfigError::conflict(
                "idle_timeout is above absolute_lifetime, so it has no effect: lower it, or remove \
                 the call",
            ));
        }
        if self.staleness > Self::MAX_STALENESS {
            return Err(ConfigError::invalid(
                "staleness must be at most 5 min: set it to the time after which a logout must \
                 take effect in other processes",
            ));
        }
        Ok(())
    }

    fn check_refresh(&self) -> Result<(), ConfigError> {
        if self.refresh_interval.is_some_and(|interval| interval.is_zero()) {
            return Err(ConfigError::invalid(
                "refresh_interval must not be zero: set it to the time after which a change of \
                 roles must take effect",
            ));
        }
        if self.refresh_timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(ConfigError::invalid(
                "refresh_timeout must not be zero: set it to the longest time that a refresh takes",
            ));
        }
        let has_times = self.refresh_interval.is_some() || self.refresh_timeout.is_some();
        if self.refresh.is_none() && has_times {
            return Err(ConfigError::conflict(
                "refresh_interval and refresh_timeout have no effect without refresh: call it, or \
                 remove them",
            ));
        }
        if self.refresh_interval.is_some_and(|interval| interval >= self.absolute) {
            return Err(ConfigError::conflict(
                "refresh_interval is not below absolute_lifetime, so no session would be refreshed: \
                 lower it",
            ));
        }
        Ok(())
    }
}

impl fmt::Debug for SessionsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionsBuilder").finish_non_exhaustive()
    }
}
