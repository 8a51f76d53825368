use std::{fmt, sync::Arc, time::Duration};

use super::sessions::{Sessions, State};
use crate::{
    clock::{Clock, SystemClock},
    config_error::ConfigError,
    credentials::{cross_site::CrossSite, location::TokenLocation, set_cookie::SetCookie},
    header::{Challenge, Scheme},
    observe::{Observe, observer::Observer},
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
