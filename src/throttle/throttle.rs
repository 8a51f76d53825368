use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, UNIX_EPOCH},
};

use http::request::Parts;

use super::{
    buckets::{Buckets, Limit},
    in_flight::{AttemptKeys, InFlight},
};
use crate::{
    basic::{client_address::ClientAddress, credentials::BasicCredentials},
    clock::{Clock, SystemClock},
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
    failures: u32,
    per: Duration,
    clock: Box<dyn Clock>,
    /// A random key, so that clients cannot choose user ids whose hashes collide.
    hasher: RandomState,
    tables: Mutex<Tables>,
}

type AddressFn = dyn Fn(&Parts) -> Option<IpAddr> + Send + Sync;

struct Tables {
    addresses: Buckets,
    /// By prefix of IPv6 addresses. The table is not shared with `addresses`, so that the many
    /// addresses of a prefix cannot evict its entry.
    prefixes: Buckets,
    users: Buckets,
    /// By address and user.
    pairs: Buckets,
    in_flight: InFlight,
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
    const FAILURES: u32 = 10;
    const PER: Duration = Duration::from_secs(300);
    /// How many attempts an address may have in flight, in addition to `failures`.
    const EXTRA_IN_FLIGHT: u32 = 32;
    /// How many failures an address has for a user who is over the limit.
    const FAILURES_PER_PAIR: u32 = 2;

    /// Creates a throttle that allows ten wrong passwords in five minutes, by the client address
    /// that `forwarded` determines. Requests without a known address share one limit.
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
            failures: Self::FAILURES,
            per: Self::PER,
            clock: Box::new(SystemClock),
            hasher: RandomState::new(),
            tables: Mutex::new(tables),
        }
    }

    /// Sets how many wrong passwords an address may send in `per`. The default is 10 in 5 minutes.
    ///
    /// All `failures` are available at once. Then, one becomes available every `per / failures`. A
    /// user has twice as many, from all addresses together. An IPv6 /56 has four times and a /48
    /// has 16 times as many in the same time.
    ///
    /// The minimum is one failure and one millisecond; lower values are raised to it.
    pub fn failures(mut self, failures: u32, per: Duration) -> Self {
        self.failures = failures.max(1);
        self.per = per.max(Duration::from_millis(1));
        self
    }

    /// Sets the clock. The default is [`SystemClock`]. See [`clock`](crate::clock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Admits an attempt if no limit is exceeded, and stores the client address in `credentials`.
    ///
    /// # Errors
    ///
    /// A rejection with the time until the next attempt.
    pub(crate) fn admit(
        self: &Arc<Self>,
        head: &Parts,
        credentials: &mut BasicCredentials,
    ) -> Result<Attempt, Rejection> {
        let client = ClientAddress::new((self.address)(head));
        credentials.set_client(client);
        let (user_id, password) = (credentials.user_id(), credentials.password());
        let keys = AttemptKeys {
            networks: client
                .networks()
                .map(|network| network.map(|network| self.hasher.hash_one(network))),
            user: self.hasher.hash_one(user_id),
            pair: self.hasher.hash_one((client, user_id)),
            credentials: self.hasher.hash_one((client, user_id, password)),
        };
        let now = self.now();
        let mut tables = self.tables();
        let networks_wait = keys.networks_with_factors().map(|(key, factor)| {
            tables.networks(factor).wait(key, self.limit_per_network(factor), now)
        });
        let networks_wait = networks_wait.max().unwrap_or_default();
        let pair_wait = tables.pairs.wait(keys.pair, self.limit_per_pair(), now);
        let user_wait = tables.users.wait(keys.user, self.limit_per_user(), now).min(pair_wait);
        let reject = |wait, reason: &'static str| {
            let rejection = Rejection::new(RejectionKind::TooManyRequests);
            Err(rejection.with_retry_after(wait).because(reason))
        };
        let max_in_flight = self.failures.saturating_add(Self::EXTRA_IN_FLIGHT);
        match networks_wait.max(user_wait) {
            0 if tables.in_flight.begin(keys, max_in_flight) => {
                Ok(Attempt { throttle: Arc::clone(self), keys, finished: false })
            }
            0 => reject(Duration::from_secs(1), "too many concurrent login attempts"),
            nanos => {
                let wait = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
                reject(wait, "too many wrong passwords")
            }
        }
    }

    /// Removes an attempt from those in flight, and counts it if it failed.
    fn finish(&self, keys: AttemptKeys, failed: bool) {
        let now = self.now();
        let mut tables = self.tables();
        if !tables.in_flight.finish(keys, failed) {
            return;
        }
        for (key, factor) in keys.networks_with_factors() {
            tables.networks(factor).take(key, self.limit_per_network(factor), now);
        }
        tables.users.take(keys.user, self.limit_per_user(), now);
        tables.pairs.take(keys.pair, self.limit_per_pair(), now);
    }

    /// The limit of a wider network is available again in the same time, so its interval is
    /// shorter.
    fn limit_per_network(&self, factor: u32) -> Limit {
        Limit {
            attempts: self.failures.saturating_mul(factor),
            interval: (self.interval() / u128::from(factor)).max(1),
        }
    }

    fn limit_per_user(&self) -> Limit {
        Limit { attempts: self.failures.saturating_mul(2), interval: self.interval() }
    }

    fn limit_per_pair(&self) -> Limit {
        Limit { attempts: Self::FAILURES_PER_PAIR, interval: self.interval() }
    }

    /// Returns the time in which an address gets one attempt back, in nanoseconds.
    fn interval(&self) -> u128 {
        (self.per.as_nanos() / u128::from(self.failures)).max(1)
    }

    fn now(&self) -> u128 {
        self.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn networks(&mut self, factor: u32) -> &mut Buckets {
        if factor == 1 { &mut self.addresses } else { &mut self.prefixes }
    }
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle")
            .field("failures", &self.failures)
            .field("per", &self.per)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering},
        },
        time::SystemTime,
    };

    use base64::{Engine as _, engine::general_purpose::STANDARD};

    use super::*;

    /// A throttle that allows 3 failures in 30 s, by the address in a header, and its mock clock.
    pub(in crate::throttle) struct Fixture {
        throttle: Arc<Throttle>,
        seconds: Arc<AtomicU64>,
    }

    impl Fixture {
        pub(in crate::throttle) fn new() -> Self {
            Self::with_limit(3, Duration::from_secs(30))
        }

        pub(in crate::throttle) fn with_limit(failures: u32, per: Duration) -> Self {
            let seconds = Arc::new(AtomicU64::new(1_000_000));
            let mock = Arc::clone(&seconds);
            let now =
                move || SystemTime::UNIX_EPOCH + Duration::from_secs(mock.load(Ordering::Relaxed));
            let throttle = Throttle::by_address(|head| {
                head.headers.get("x-from")?.to_str().ok()?.parse().ok()
            });
            Self { throttle: Arc::new(throttle.failures(failures, per).clock(now)), seconds }
        }

        pub(in crate::throttle) fn advance(&self, seconds: i64) {
            let now = self.seconds.load(Ordering::Relaxed);
            self.seconds.store(now.saturating_add_signed(seconds), Ordering::Relaxed);
        }

        pub(in crate::throttle) fn begin(
            &self,
            from: &str,
            user: &str,
            password: &str,
        ) -> Result<Attempt, Option<u64>> {
            let request = http::Request::builder().header("x-from", from).body(()).unwrap();
            let pair = STANDARD.encode(format!("{user}:{password}"));
            let mut credentials = BasicCredentials::decode(pair.as_bytes()).unwrap();
            let admitted = self.throttle.admit(&request.into_parts().0, &mut credentials);
            admitted.map_err(|rejection| {
                assert_eq!(rejection.kind(), RejectionKind::TooManyRequests);
                rejection.retry_after().map(|wait| wait.as_secs())
            })
        }

        /// Sends the correct password.
        pub(in crate::throttle) fn log_in(
            &self,
            from: &str,
            user: &str,
        ) -> Result<(), Option<u64>> {
            self.begin(from, user, "correct").map(|attempt| attempt.finish(false))
        }

        /// Sends a wrong password.
        pub(in crate::throttle) fn guess(&self, from: &str, user: &str) -> Result<(), Option<u64>> {
            self.begin(from, user, "guess").map(|attempt| attempt.finish(true))
        }
    }

    #[test]
    fn address_over_the_limit_gets_one_attempt_back_per_interval() {
        let fixture = Fixture::new();
        for user in ["a", "b", "c"] {
            assert_eq!(fixture.guess("10.0.0.1", user), Ok(()));
        }
        assert_eq!(fixture.guess("10.0.0.1", "d"), Err(Some(10)));
        assert!(fixture.log_in("10.0.0.2", "d").is_ok());
        fixture.advance(9);
        assert_eq!(fixture.guess("10.0.0.1", "d"), Err(Some(1)));
        fixture.advance(1);
        assert_eq!(fixture.guess("10.0.0.1", "d"), Ok(()));
        assert_eq!(fixture.guess("10.0.0.1", "d"), Err(Some(10)));
        fixture.advance(1_000);
        for _ in 0..2 {
            assert_eq!(fixture.guess("10.0.0.1", "e"), Ok(()));
        }
        assert!(fixture.log_in("10.0.0.1", "e").is_ok());
        // Correct passwords are not counted.
        assert!((0..10).all(|_| fixture.log_in("10.0.0.1", "e").is_ok()));
    }

    #[test]
    fn guesses_from_many_addresses_do_not_lock_a_user_out() {
        let fixture = Fixture::new();
        let address = |number: u32| format!("10.0.{}.{}", number / 250, number % 250);
        let guesses = (0..500).filter(|number| fixture.guess(&address(*number), "alice").is_ok());
        assert_eq!(guesses.count(), 500, "one each");
        // The user is over the limit: an address that failed once may fail once more.
        assert_eq!(fixture.guess(&address(1), "alice"), Ok(()));
        assert!(matches!(fixture.guess(&address(1), "alice"), Err(Some(_))));
        // The user can log in from another address, also after a typing error.
        assert_eq!(fixture.guess("192.0.2.1", "alice"), Ok(()));
        assert!(fixture.log_in("192.0.2.1", "alice").is_ok());
        assert!(fixture.log_in(&address(1), "bob").is_ok());
    }

    #[test]
    fn addresses_of_one_subscriber_share_a_limit() {
        let fixture = Fixture::new();
        for from in ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::"] {
            assert_eq!(fixture.guess(from, "a"), Ok(()));
        }
        assert!(fixture.guess("2001:db8::9", "b").is_err());
        assert!(fixture.guess("2001:db8:0:1::9", "b").is_ok());
        for from in ["10.0.0.1", "::ffff:10.0.0.1", "10.0.0.1"] {
            assert_eq!(fixture.guess(from, "c"), Ok(()));
        }
        assert!(fixture.guess("10.0.0.1", "d").is_err());
        // Unknown addresses share one limit.
        for from in ["", "unknown", "10.0.0.1, 10.0.0.2"] {
            assert_eq!(fixture.guess(from, "e"), Ok(()));
        }
        assert!(fixture.guess("elsewhere", "f").is_err());
    }

    #[test]
    fn concurrent_failures_over_the_limit_extend_the_wait() {
        let fixture = Fixture::new();
        let begin = |number: usize| fixture.begin("10.0.0.1", "a", &number.to_string());
        let concurrent: Vec<_> = (0..50).map_while(|number| begin(number).ok()).collect();
        assert_eq!(concurrent.len(), 35);
        assert_eq!(begin(50).err(), Some(Some(1)));
        let other_address = fixture.begin("10.0.0.2", "a", "x");
        other_address.unwrap().finish(false);
        concurrent.into_iter().for_each(|attempt| attempt.finish(true));
        assert_eq!(fixture.guess("10.0.0.1", "b"), Err(Some(330)));
        fixture.advance(330);
        assert_eq!(fixture.guess("10.0.0.1", "b"), Ok(()));
        assert_eq!(fixture.guess("10.0.0.1", "b"), Err(Some(10)));
    }

    #[test]
    fn equal_concurrent_attempts_count_once() {
        let fixture = Fixture::new();
        let begin = || fixture.begin("10.0.0.1", "a", "old password").unwrap();
        let concurrent: Vec<_> = (0..200).map(|_| begin()).collect();
        concurrent.into_iter().for_each(|attempt| attempt.finish(true));
        assert_eq!(fixture.guess("10.0.0.1", "a"), Ok(()));
        begin().finish(true);
        assert!(fixture.guess("10.0.0.1", "a").is_err());
    }

    #[test]
    fn dropped_attempt_counts_as_a_failure() {
        let fixture = Fixture::new();
        for guess in ["a", "b", "c"] {
            drop(fixture.begin("10.0.0.1", "alice", guess).unwrap());
        }
        assert!(fixture.guess("10.0.0.1", "alice").is_err());
    }

    #[test]
    fn clock_set_back_ends_the_wait() {
        let fixture = Fixture::new();
        (0..3).for_each(|_| fixture.guess("10.0.0.1", "a").unwrap());
        assert!(fixture.guess("10.0.0.1", "a").is_err());
        fixture.advance(-100_000);
        assert_eq!(fixture.guess("10.0.0.1", "a"), Ok(()));
    }

    #[test]
    fn extreme_limits_do_not_overflow() {
        let day = Duration::from_secs(86_400);
        for (failures, per) in [(10, day), (1, Duration::ZERO), (u32::MAX, day), (0, Duration::MAX)]
        {
            let fixture = Fixture::with_limit(failures, per);
            let guesses = (0..20).take_while(|_| fixture.guess("10.0.0.1", "a").is_ok()).count();
            assert_eq!(guesses, 20.min(usize::try_from(failures.max(1)).unwrap()), "{per:?}");
        }
    }
}
