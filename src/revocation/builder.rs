use std::{fmt, sync::Arc, time::Duration};

use super::{
    answers::Answers,
    epoch::EpochWatch,
    local_writes::LocalWrites,
    revocations::{Revocations, State},
};
use crate::{
    clock::{Clock, SystemClock},
    config_error::ConfigError,
    observe::{Observe, observer::Observer},
    store::sealed_store::SealedStore,
};

/// Builds [`Revocations`].
///
/// All services that share a store must have the same settings.
#[must_use]
pub struct RevocationsBuilder {
    store: SealedStore,
    longest_token_life: Option<Duration>,
    staleness: Duration,
    clock: Box<dyn Clock>,
    admit_unchecked: bool,
    observer: Observer,
}

impl RevocationsBuilder {
    const MIN_TOKEN_LIFE: Duration = Duration::from_secs(1);
    const MAX_TOKEN_LIFE: Duration = Duration::from_secs(400 * 24 * 60 * 60);
    const MAX_STALENESS: Duration = Duration::from_secs(300);

    pub(super) fn new(store: SealedStore) -> Self {
        Self {
            store,
            longest_token_life: None,
            staleness: Duration::from_secs(5),
            clock: Box::new(SystemClock),
            admit_unchecked: false,
            observer: Observer::default(),
        }
    }

    /// Sets the longest time from the `iat` to the `exp` of a token, from 1 s to 400 days. It is
    /// required.
    ///
    /// Tokens with a longer lifetime, and tokens without `iat`, are rejected, because records of
    /// revocations are kept for this time. If a token has `fst`, the start of a family of tokens,
    /// the lifetime starts there: for tokens of a `TokenIssuer`, set its `absolute_lifetime`, by
    /// default 90 days.
    ///
    /// All services that share the store must set the same value. Otherwise, a record of one
    /// service can expire before the tokens that another one accepts.
    pub fn longest_token_life(mut self, life: Duration) -> Self {
        self.longest_token_life = Some(life);
        self
    }

    /// Sets how long an answer of the store is used, at most 5 min. The default is 5 s. Zero asks
    /// the store for each request.
    ///
    /// A revocation takes effect in other processes after at most this time. In this process, it
    /// always takes effect at once.
    pub fn staleness(mut self, staleness: Duration) -> Self {
        self.staleness = staleness;
        self
    }

    /// Sets the clock. The default is the system clock. See [`clock`](crate::clock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Sets the observer of revocations. The default is the [default
    /// observer](crate::observe::set_default).
    pub fn observer(mut self, observer: impl Observe + 'static) -> Self {
        self.observer = Observer::default().with_observer(observer);
        self
    }

    /// Sets the observer to that of another part, which can be the default.
    #[cfg(any(feature = "issue", feature = "session"))]
    pub(crate) fn shared_observer(self, observer: Observer) -> Self {
        Self { observer, ..self }
    }

    /// Accepts tokens while the store is unavailable. By default, requests get 503 then.
    ///
    /// # Security
    ///
    /// Revoked tokens are accepted during an outage, which an attacker may be able to cause. Tokens
    /// that this process knows to be revoked are still rejected. Records that cannot be read, and a
    /// store that has lost records, lead to 503 nevertheless.
    pub fn dangerous_admit_unchecked(mut self) -> Self {
        self.admit_unchecked = true;
        self
    }

    /// Checks the configuration. It does not connect to the store.
    ///
    /// # Errors
    ///
    /// Returns an error if [`longest_token_life`](Self::longest_token_life) was not called, or if a
    /// value is out of range.
    pub fn build(self) -> Result<Revocations, ConfigError> {
        let longest_token_life = self.longest_token_life.ok_or_else(|| {
            ConfigError::missing(
                "no longest_token_life: call it with the longest time from iat to exp of a token",
            )
        })?;
        if !(Self::MIN_TOKEN_LIFE..=Self::MAX_TOKEN_LIFE).contains(&longest_token_life) {
            return Err(ConfigError::invalid(
                "longest_token_life must be from 1 s to 400 days: set it to the longest time from \
                 iat to exp of a token",
            ));
        }
        if self.staleness > Self::MAX_STALENESS {
            return Err(ConfigError::invalid(
                "staleness must be at most 5 min: set it to the time after which a logout must \
                 take effect in other processes",
            ));
        }
        Ok(Revocations(Arc::new(State {
            epoch: EpochWatch::new(&self.store),
            store: self.store,
            longest_token_life,
            clock: self.clock,
            admit_unchecked: self.admit_unchecked,
            observer: self.observer,
            answers: (!self.staleness.is_zero()).then(|| Answers::new(self.staleness)),
            writes: LocalWrites::new(),
        })))
    }
}

impl fmt::Debug for RevocationsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationsBuilder").finish_non_exhaustive()
    }
}
