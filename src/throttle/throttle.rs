use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::{Duration, UNIX_EPOCH},
};

use http::request::Parts;

#[cfg(feature = "store")]
use super::shared_throttle::{SharedCounts, SharedThrottle};
use super::{
    buckets::Buckets,
    in_flight::{AttemptKeys, InFlight},
    limits::Limits,
};
#[cfg(feature = "store")]
use crate::store::sealed_store::SealedStore;
use crate::{
    basic::{client_address::ClientAddress, credentials::BasicCredentials},
    clock::{Clock, SystemClock},
    observe::{event::Event, observer::Observer},
    rejection::{Rejection, RejectionKind},
    transport::forwarded::Forwarded,
};

/// Limits the rate of wrong passwords by client address and by user.
///
/// A caller who exceeds a limit gets 429 with `Retry-After`. Passwords that this caller sends until
/// then are not checked. See [the module](crate::throttle) for the limits and for what they protect
/// against.
///
/// ```
/// use tower_auth::{throttle::Throttle, transport::Forwarded};
///
/// # type Staff = tower_auth::BasicAuth<tower_auth::basic::Users>;
/// # fn f(staff: Staff) -> Result<(), tower_auth::ConfigError> {
/// // The address of the TCP connection, with axum's `into_make_service_with_connect_info`:
/// let staff = staff.throttle(Throttle::new(Forwarded::direct()))?;
/// # Ok(()) }
/// # fn g(staff: Staff) -> Result<(), tower_auth::ConfigError> {
/// // Behind a proxy in this network, which appends to `X-Forwarded-For`:
/// let staff = staff.throttle(Throttle::new(Forwarded::from_proxies("10.0.0.0/8")?))?;
/// # Ok(()) }
/// ```
///
/// # Security
///
/// If clients can choose the address, the throttle has no effect. See
/// [`Forwarded`](crate::transport::Forwarded) for what the proxies must send.
#[must_use]
pub struct Throttle {
    address: Box<AddressFn>,
    pub(super) limits: Limits,
    #[cfg(feature = "store")]
    shared: Option<Arc<SharedCounts>>,
    #[cfg(feature = "store")]
    instances: u32,
    clock: Box<dyn Clock>,
    /// Whether a client without a known address was reported.
    reported_unknown: AtomicBool,
    /// A random key, so that clients cannot choose user ids whose hashes collide.
    pub(super) hasher: RandomState,
    tables: Mutex<Tables>,
}

type AddressFn = dyn Fn(&Parts) -> Option<IpAddr> + Send + Sync;

pub(super) struct Tables {
    pub(super) addresses: Buckets,
    /// By prefix of IPv6 addresses. The table is not shared with `addresses`, so that the many
    /// addresses of a prefix cannot evict its entry.
    prefixes: Buckets,
    users: Buckets,
    /// By address and user.
    pairs: Buckets,
    pub(super) in_flight: InFlight,
}

/// An attempt that was admitted.
///
/// If it is dropped before [`finish`](Self::finish), it counts as a failure. Otherwise, a client
/// that disconnects early could have passwords checked without being counted.
pub(crate) struct Attempt {
    throttle: Arc<Throttle>,
    keys: AttemptKeys,
    finished: bool,
}

impl Attempt {
    /// Records whether the password was wrong.
    pub(crate) fn finish(mut self, failed: bool) {
        self.finished = true;
        self.throttle.finish(self.keys, failed);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.finished {
            self.throttle.finish(self.keys, true);
        }
    }
}

impl Throttle {
    #[cfg(feature = "store")]
    const INSTANCES: u32 = 10;

    /// Creates a throttle that allows ten wrong passwords in five minutes, by the client address
    /// that `forwarded` determines.
    ///
    /// Requests without a known address share one limit. The first of them is an
    /// [event](crate::observe::Event::ClientAddressUnknown), because the service probably does not
    /// pass on the address of the connection (axum needs `into_make_service_with_connect_info`), or
    /// `forwarded` does not fit the proxies.
    pub fn new(forwarded: Forwarded) -> Self {
        Self::by_address(move |head| forwarded.info(head).client_address())
    }

    /// Creates a throttle that allows ten wrong passwords in five minutes, by the client address
    /// that a closure returns. Requests for which it returns `None` share one limit.
    ///
    /// This is for addresses that [`new`](Self::new) cannot determine:
    ///
    /// ```
    /// use tower_auth::throttle::Throttle;
    ///
    /// // A proxy overwrites this header, and only the proxy can connect to this service:
    /// let throttle = Throttle::by_address(|head| {
    ///     head.headers.get("cf-connecting-ip")?.to_str().ok()?.parse().ok()
    /// });
    /// ```
    ///
    /// # Security
    ///
    /// The closure must not read a header that clients can set.
    pub fn by_address<F>(address: F) -> Self
    where
        F: Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static,
    {
        let tables = Tables {
            addresses: Buckets::new(),
            prefixes: Buckets::new(),
            users: Buckets::new(),
            pairs: Buckets::new(),
            in_flight: InFlight::default(),
        };
        Self {
            address: Box::new(address),
            limits: Limits::DEFAULT,
            #[cfg(feature = "store")]
            shared: None,
            #[cfg(feature = "store")]
            instances: Self::INSTANCES,
            clock: Box::new(SystemClock),
            reported_unknown: AtomicBool::new(false),
            hasher: RandomState::new(),
            tables: Mutex::new(tables),
        }
    }

    /// Sets how many wrong passwords an address may send in `per`. The default is 10 in 5 minutes.
    ///
    /// All `failures` are available at once. Then, one becomes available every `per / failures`.
    /// (If the limits are shared in a store, all are available again when the next window of the
    /// length `per` begins.) A user has twice as many, from all addresses together. An IPv6 /56 has
    /// four times and a /48 has 16 times as many in the same time.
    ///
    /// The minimum is one failure and one millisecond; lower values are raised to it.
    pub fn failures(mut self, failures: u32, per: Duration) -> Self {
        self.limits.failures = failures.max(1);
        self.limits.per = per.max(Duration::from_millis(1));
        self
    }

    /// Counts wrong passwords in a store, so that the instances of a service share the limits.
    ///
    /// The time of the store is divided into windows of the length `per` (see
    /// [`failures`](Self::failures)). In each window, an address may send `failures` wrong
    /// passwords, whichever instances it sends them to. All of them are available again when the
    /// next window begins, and `Retry-After` is the time until then. See
    /// [the module](crate::throttle#several-instances) for details.
    ///
    /// All instances need the same store, secret and limits. Throttles with the same store and
    /// `per` share their counts.
    ///
    /// ```
    /// use tower_auth::{
    ///     BasicAuth, basic::Users, store::SealedStore, throttle::Throttle, transport::Forwarded,
    /// };
    ///
    /// # fn f(store: SealedStore) -> Result<(), tower_auth::ConfigError> {
    /// let throttle = Throttle::new(Forwarded::from_proxies("10.0.0.0/8")?)
    ///     .shared(store) // for example, in Redis
    ///     .instances(4);
    /// let users = Users::new([("alice", "correct horse battery staple")])?;
    /// let staff = BasicAuth::new("staff", users)?.throttle(throttle)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Security
    ///
    /// While the store does not answer or is full, each instance limits logins on its own, at the
    /// rate divided by [`instances`](Self::instances). An outage therefore neither stops logins nor
    /// lifts the limits.
    #[cfg(feature = "store")]
    pub fn shared(mut self, store: SealedStore) -> Self {
        self.shared = Some(Arc::new(SharedCounts::new(store)));
        self.limits.divisor = self.instances;
        self
    }

    /// Sets how many instances share the store. The default is 10.
    ///
    /// While the store does not answer, each of them applies the limits divided by this number. It
    /// allows at least one wrong password. Without [`shared`](Self::shared), this has no effect.
    ///
    /// The minimum is one; zero is raised to it.
    #[cfg(feature = "store")]
    pub fn instances(mut self, instances: u32) -> Self {
        self.instances = instances.max(1);
        if self.shared.is_some() {
            self.limits.divisor = self.instances;
        }
        self
    }

    /// Sets the clock. The default is [`SystemClock`]. See [`clock`](crate::clock).
    ///
    /// The windows of limits that are shared in a store follow the clock of the store.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Returns the client that sent a request. Reports the first one without a known address.
    pub(crate) fn client(&self, head: &Parts) -> ClientAddress {
        let address = (self.address)(head);
        if address.is_none() {
            let observer = Observer::of(head);
            observer.observe_once(&self.reported_unknown, || Event::ClientAddressUnknown {
                request: observer.request(head),
            });
        }
        ClientAddress::new(address)
    }

    /// Admits an attempt if no limit is exceeded. Concurrent attempts with equal credentials and
    /// `serial` count as one.
    ///
    /// # Errors
    ///
    /// A rejection with the time until the next attempt.
    pub(crate) fn admit(
        self: &Arc<Self>,
        client: ClientAddress,
        credentials: &BasicCredentials,
        serial: Option<u64>,
    ) -> Result<Attempt, Rejection> {
        let keys = self.keys(client, credentials, serial);
        let now = self.now();
        let mut tables = self.tables();
        match tables.wait(keys, self.limits, now) {
            None if tables.in_flight.begin(keys, self.limits.max_in_flight()) => {
                Ok(Attempt { throttle: Arc::clone(self), keys, finished: false })
            }
            None => Err(too_many_concurrent()),
            Some(wait) => Err(too_many_failures(wait)),
        }
    }

    pub(super) fn keys(
        &self,
        client: ClientAddress,
        credentials: &BasicCredentials,
        serial: Option<u64>,
    ) -> AttemptKeys {
        let (user_id, password) = (credentials.user_id(), credentials.password());
        AttemptKeys {
            networks: self.network_keys(client),
            user: self.hasher.hash_one(user_id),
            pair: self.hasher.hash_one((client, user_id)),
            credentials: match serial {
                None => self.hasher.hash_one((client, user_id, password)),
                Some(serial) => self.hasher.hash_one((client, user_id, password, serial)),
            },
        }
    }

    pub(super) fn network_keys(&self, client: ClientAddress) -> [Option<u64>; 3] {
        client.networks().map(|network| network.map(|network| self.hasher.hash_one(network)))
    }

    /// Returns the time until an attempt is available in this process, or `None` if one is.
    #[cfg(feature = "store")]
    pub(super) fn wait(&self, keys: AttemptKeys) -> Option<Duration> {
        let now = self.now();
        self.tables().wait(keys, self.limits, now)
    }

    /// Returns this throttle, if its limits are shared.
    #[cfg(feature = "store")]
    pub(crate) fn to_shared(self: &Arc<Self>) -> Option<SharedThrottle> {
        let counts = Arc::clone(self.shared.as_ref()?);
        Some(SharedThrottle { local: Arc::clone(self), counts })
    }

    /// Removes an attempt from those in flight, and counts it if it failed.
    pub(super) fn finish(&self, keys: AttemptKeys, failed: bool) {
        let now = self.now();
        let mut tables = self.tables();
        if !tables.in_flight.finish(keys, failed) {
            return;
        }
        tables.take_from_networks(keys.networks, self.limits, now);
        tables.users.take(keys.user, self.limits.per_user(), now);
        tables.pairs.take(keys.pair, self.limits.per_pair(), now);
    }

    pub(super) fn now(&self) -> u128 {
        self.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
    }

    pub(super) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    /// Returns the time until an attempt is available, or `None` if one is.
    fn wait(&mut self, keys: AttemptKeys, limits: Limits, now: u128) -> Option<Duration> {
        let networks = self.wait_of_networks(keys.networks, limits, now);
        // A user who is over the limit is rejected only from addresses that failed for that user.
        let pair = self.pairs.wait(keys.pair, limits.per_pair(), now);
        to_wait(networks.max(self.users.wait(keys.user, limits.per_user(), now).min(pair)))
    }

    /// Returns the nanoseconds until each network has an attempt available, or zero.
    pub(super) fn wait_of_networks(
        &mut self,
        networks: [Option<u64>; 3],
        limits: Limits,
        now: u128,
    ) -> u128 {
        AttemptKeys::with_factors(networks)
            .map(|(key, factor)| self.networks(factor).wait(key, limits.per_network(factor), now))
            .max()
            .unwrap_or_default()
    }

    /// Takes an attempt from each network.
    pub(super) fn take_from_networks(
        &mut self,
        networks: [Option<u64>; 3],
        limits: Limits,
        now: u128,
    ) {
        for (key, factor) in AttemptKeys::with_factors(networks) {
            self.networks(factor).take(key, limits.per_network(factor), now);
        }
    }

    fn networks(&mut self, factor: u32) -> &mut Buckets {
        if factor == 1 { &mut self.addresses } else { &mut self.prefixes }
    }
}

/// Returns the time until an attempt is available, or `None` if one is.
pub(super) fn to_wait(nanos: u128) -> Option<Duration> {
    (nanos > 0).then(|| Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
}

/// Rejects an attempt until one is available.
pub(super) fn too_many_failures(wait: Duration) -> Rejection {
    Rejection::new(RejectionKind::TooManyRequests)
        .with_retry_after(wait)
        .because("too many failed attempts")
}

/// Rejects an attempt because of those that have not finished yet.
pub(super) fn too_many_concurrent() -> Rejection {
    Rejection::new(RejectionKind::TooManyRequests)
        .with_retry_after(Duration::from_secs(1))
        .because("too many concurrent login attempts")
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle")
            .field("failures", &self.limits.failures)
            .field("per", &self.limits.per)
            .finish_non_exhaustive()
    }
}
