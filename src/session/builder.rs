use std::{error::Error, fmt, future::Future, sync::Arc, time::Duration};

use super::{
    refresh_claims::{RefreshClosure, erase},
    sessions::{Sessions, State},
};
use crate::{
    clock::{Clock, SystemClock},
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
    idle: Duration,
    absolute: Duration,
    refresh: Option<RefreshClosure>,
    refresh_interval: Duration,
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
            idle: Duration::from_secs(30 * 60),
            absolute: Duration::from_secs(12 * 60 * 60),
            refresh: None,
            refresh_interval: Duration::from_secs(10 * 60),
            staleness: Duration::ZERO,
            clock: Arc::new(SystemClock),
            observer: Observer::default(),
        }
    }

    /// Sets the name of the cookie. The default is `__Host-session`. The name must start with
    /// `__Host-`.
    pub fn cookie_name(mut self, name: impl Into<Box<str>>) -> Self {
        self.cookie_name = name.into();
        self
    }

    /// Ends a session that was not used for this time. The default is 30 min.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle = timeout;
        self
    }

    /// Ends a session this long after the login, also if it is used. The default is 12 h.
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
    /// A process calls it once at a time for each session. Other requests of the session wait. The
    /// closure needs a time limit.
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
        self.refresh_interval = interval;
        self
    }

    /// Accepts a session without the store if this process has read it within this time, at most
    /// 5 min. The default is zero: the store is asked for each request.
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
    pub fn revocations(mut self, revocations: Revocations) -> Self {
        self.revocations = Some(revocations);
        self
    }

    /// Sets the clock. The default is the system clock. See [`clock`](crate::clock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the observer of sessions. The default is [`Tracing`](crate::observe::Tracing) with the
    /// feature `tracing`.
    pub fn observer(mut self, observer: impl Observe + 'static) -> Self {
        self.observer = Observer::default().with_observer(observer);
        self
    }

    /// Checks the configuration.
    ///
    /// # Errors
    ///
    /// Returns an error if a setting is not valid.
    pub fn build(self) -> Result<Sessions, ConfigError> {
        self.cross_site.validate()?;
        let clock = Arc::clone(&self.clock);
        let cookie = SetCookie::new(&*self.cookie_name)?.clock(move || clock.now());
        let challenge =
            Challenge::new(Scheme::COOKIE).with_param("cookie-name", &self.cookie_name)?;
        let revocations = match self.revocations {
            Some(revocations) => revocations,
            None => Revocations::builder(self.store.clone())
                .longest_token_life(self.absolute)
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
            idle: self.idle,
            absolute: self.absolute,
            refresh: self.refresh,
            refresh_interval: self.refresh_interval,
            staleness: self.staleness,
            clock: self.clock,
            observer: self.observer,
        })))
    }
}

impl fmt::Debug for SessionsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionsBuilder").finish_non_exhaustive()
    }
}
