use std::{fmt, sync::Arc, time::Duration};

use super::{
    api_keys::{ApiKeys, Owners, State},
    key_text::check_prefix,
    owners::KeyOwners,
    recent::{AcceptedKeys, UnknownKeys},
    store::ApiKeyStore,
};
use crate::{
    clock::{Clock, SystemClock},
    config_error::ConfigError,
    observe::{Observe, observer::Observer},
    throttle::throttle::Throttle,
};

/// Builds [`ApiKeys`].
///
/// Created by [`ApiKeys::builder`].
#[must_use]
pub struct ApiKeysBuilder {
    prefix: String,
    store: Box<dyn ApiKeyStore>,
    owners: Option<Box<dyn KeyOwners>>,
    trusts_owners: bool,
    lifetime: Duration,
    max_keys: usize,
    throttle: Option<Throttle>,
    clock: Arc<dyn Clock>,
    observer: Observer,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Stores read the keys of an owner one by one when they add a key.
const MAX_KEYS: usize = 10_000;

impl ApiKeysBuilder {
    pub(super) fn new(prefix: String, store: Box<dyn ApiKeyStore>) -> Self {
        Self {
            prefix,
            store,
            owners: None,
            trusts_owners: false,
            lifetime: 90 * DAY,
            max_keys: 100,
            throttle: None,
            clock: Arc::new(SystemClock),
            observer: Observer::default(),
        }
    }

    /// Sets who says which owners are active, and which scopes they have. It is required.
    pub fn owners(mut self, owners: impl KeyOwners) -> Self {
        self.owners = Some(Box::new(owners));
        self
    }

    /// Accepts keys whatever has happened to their owner.
    ///
    /// # Security
    ///
    /// The keys of a user who was disabled remain valid until they are revoked or expire. This is
    /// for services whose keys have no owner in a database. [`build`](Self::build) returns an error
    /// if [`owners`](Self::owners) was called as well.
    pub fn dangerous_trust_owners(mut self) -> Self {
        self.trusts_owners = true;
        self
    }

    /// Sets how long keys are valid, unless the request is for less. The default is 90 days, the
    /// maximum 366 days.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Sets how many live keys an owner can have. The default is 100, the maximum 10,000.
    pub fn max_keys(mut self, max_keys: usize) -> Self {
        self.max_keys = max_keys;
        self
    }

    /// Limits the requests with unknown keys, by the address of the client: the same as the
    /// [limits](crate::throttle) of wrong passwords.
    ///
    /// A client over the limit gets 429 without a call of the store, unless this process has
    /// accepted the key before. Keys that are malformed, revoked or expired do not count.
    ///
    /// ```
    /// use tower_auth::{
    ///     ConfigError,
    ///     api_key::{ApiKeysBuilder, ApiKeys},
    ///     throttle::Throttle,
    ///     transport::Forwarded,
    /// };
    ///
    /// fn build(keys: ApiKeysBuilder) -> Result<ApiKeys, ConfigError> {
    ///     keys.throttle(Throttle::new(Forwarded::direct())).build()
    /// }
    /// ```
    ///
    /// The counts are those of this process, also with `Throttle::shared`.
    pub fn throttle(mut self, throttle: Throttle) -> Self {
        self.throttle = Some(throttle);
        self
    }

    /// Sets the clock. The default is the system clock. See [`clock`](crate::clock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the observer of keys. The default is the [default
    /// observer](crate::observe::set_default).
    pub fn observer(mut self, observer: impl Observe + 'static) -> Self {
        self.observer = Observer::default().with_observer(observer);
        self
    }

    /// Checks the configuration.
    ///
    /// # Errors
    ///
    /// Returns an error if the prefix is malformed, if no owners are set, if they are both set and
    /// trusted, or if a value is out of range.
    pub fn build(self) -> Result<ApiKeys, ConfigError> {
        check_prefix(&self.prefix)?;
        let owners = match (self.owners, self.trusts_owners) {
            (Some(owners), false) => Owners::Checked(owners),
            (None, true) => Owners::Trusted,
            (None, false) => {
                return Err(ConfigError::missing(
                    "no owners: call owners with a closure that says which owners are active",
                ));
            }
            (Some(_), true) => {
                return Err(ConfigError::conflict(
                    "owners and dangerous_trust_owners must not both be called: remove one",
                ));
            }
        };
        if self.lifetime < Duration::from_secs(1) || self.lifetime > 366 * DAY {
            return Err(ConfigError::invalid("lifetime must be from 1 s to 366 days"));
        }
        if !(1..=MAX_KEYS).contains(&self.max_keys) {
            return Err(ConfigError::invalid(format!("max_keys must be from 1 to {MAX_KEYS}")));
        }
        Ok(ApiKeys(Arc::new(State {
            prefix: self.prefix.into(),
            store: self.store,
            owners,
            lifetime: self.lifetime,
            max_keys: self.max_keys,
            throttle: self.throttle.map(Arc::new),
            accepted: AcceptedKeys::new(),
            unknown: UnknownKeys::new(),
            clock: self.clock,
            observer: self.observer,
        })))
    }
}

impl fmt::Debug for ApiKeysBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeysBuilder").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
