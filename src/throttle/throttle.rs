use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, UNIX_EPOCH},
};

use http::request::Parts;
use quick_cache::unsync::Cache;

use super::in_flight::{AttemptKeys, InFlight};
use crate::{
    basic::credentials::BasicCredentials,
    clock::{Clock, SystemClock},
    rejection::{Rejection, RejectionKind},
};

/// Limits the rate of wrong passwords by client address and by user.
///
/// A caller who exceeds a limit gets 429 with `Retry-After`. Passwords that this caller sends until
/// then are not checked. See [the module](crate::throttle) for the limits and for what they protect
/// against.
///
/// ```
/// use std::net::SocketAddr;
/// use axum::extract::ConnectInfo;
/// use tower_auth::throttle::Throttle;
///
/// # type Staff = tower_auth::BasicAuth<tower_auth::basic::Users>;
/// # fn f(staff: Staff) -> Result<(), tower_auth::ConfigError> {
/// // The address of the TCP connection, with axum's `into_make_service_with_connect_info`:
/// let staff = staff.throttle(Throttle::by_address(|head| {
///     head.extensions.get::<ConnectInfo<SocketAddr>>().map(|from| from.0.ip())
/// }))?;
/// # Ok(()) }
/// # fn g(staff: Staff) -> Result<(), tower_auth::ConfigError> {
/// // Behind a proxy that overwrites this header:
/// let staff = staff.throttle(Throttle::by_address(|head| {
///     head.headers.get("x-real-ip")?.to_str().ok()?.parse().ok()
/// }))?;
/// # Ok(()) }
/// ```
///
/// # Security
///
/// If clients can choose the address, for example with a header that the proxy does not overwrite,
/// the throttle has no effect.
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

/// Token buckets by key.
///
/// A value is the time at which the bucket is full, in nanoseconds since 1970.
struct Tables {
    addresses: Cache<u64, u128>,
    users: Cache<u64, u128>,
    /// By address and user.
    pairs: Cache<u64, u128>,
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
    const TABLE_ENTRIES: usize = 65_536;
    const FAILURES: u32 = 10;
    const PER: Duration = Duration::from_secs(300);
    /// The longest time by which concurrent failures extend the wait for a full bucket.
    const MAX_OVERDRAFT: Duration = Duration::from_secs(3_600);
    /// How many attempts an address may have in flight, in addition to `failures`.
    const EXTRA_IN_FLIGHT: u32 = 32;
    /// How many failures an address has for a user who is over the limit.
    const FAILURES_PER_PAIR: u32 = 2;

    /// Creates a throttle that allows ten wrong passwords in five minutes.
    ///
    /// `address` returns the address of the client. Requests for which it returns `None` share one
    /// allowance.
    pub fn by_address<F>(address: F) -> Self
    where
        F: Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static,
    {
        let table = || Cache::new(Self::TABLE_ENTRIES);
        let in_flight = InFlight::default();
        let tables = Tables { addresses: table(), users: table(), pairs: table(), in_flight };
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
    /// user has twice as many, from all addresses together.
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

    /// Admits an attempt if no limit is exceeded.
    ///
    /// # Errors
    ///
    /// A rejection with the time until the next attempt.
    pub(crate) fn admit(
        self: &Arc<Self>,
        head: &Parts,
        credentials: &BasicCredentials,
    ) -> Result<Attempt, Rejection> {
        let (user_id, password) = (credentials.user_id(), credentials.password());
        let address = (self.address)(head).map(network);
        let keys = AttemptKeys {
            address: self.hasher.hash_one(address),
            user: self.hasher.hash_one(user_id),
            pair: self.hasher.hash_one((address, user_id)),
            credentials: self.hasher.hash_one((address, user_id, password)),
        };
        let now = self.now();
        let mut tables = self.tables();
        let wait = |table: &Cache<u64, u128>, key: u64, failures: u32| {
            // One attempt is available as soon as all but one are missing.
            self.full_at(table, key, failures, now)
                .saturating_sub(self.interval().saturating_mul(u128::from(failures) - 1))
                .saturating_sub(now)
        };
        let address_wait = wait(&tables.addresses, keys.address, self.failures);
        let pair_wait = wait(&tables.pairs, keys.pair, Self::FAILURES_PER_PAIR);
        let user_wait = wait(&tables.users, keys.user, self.failures_per_user()).min(pair_wait);
        let reject = |wait, reason: &'static str| {
            let rejection = Rejection::new(RejectionKind::TooManyRequests);
            Err(rejection.with_retry_after(wait).because(reason))
        };
        let max_in_flight = self.failures.saturating_add(Self::EXTRA_IN_FLIGHT);
        match address_wait.max(user_wait) {
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
        let Tables { addresses, users, pairs, .. } = &mut *tables;
        for (table, key, failures) in [
            (addresses, keys.address, self.failures),
            (users, keys.user, self.failures_per_user()),
            (pairs, keys.pair, Self::FAILURES_PER_PAIR),
        ] {
            let full_at = self.full_at(table, key, failures, now).saturating_add(self.interval());
            table.insert(key, full_at.min(self.latest_full_at(failures, now)));
        }
    }

    /// Returns the time at which a bucket is full, which is `now` if it is full already.
    ///
    /// A time beyond the possible maximum dates from before the clock was set back. It is ignored,
    /// because the wait could otherwise last for as long as the clock was set back.
    fn full_at(&self, table: &Cache<u64, u128>, key: u64, failures: u32, now: u128) -> u128 {
        let full_at = table.get(&key).copied().unwrap_or_default();
        if full_at > self.latest_full_at(failures, now) { now } else { full_at.max(now) }
    }

    fn latest_full_at(&self, failures: u32, now: u128) -> u128 {
        let all = self.interval().saturating_mul(u128::from(failures));
        now.saturating_add(all).saturating_add(Self::MAX_OVERDRAFT.as_nanos())
    }

    fn failures_per_user(&self) -> u32 {
        self.failures.saturating_mul(2)
    }

    /// Returns the time in which one attempt becomes available again, in nanoseconds.
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

/// Returns the IPv4 address, or the /64 network of the IPv6 address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
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
mod tests {
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
    struct Fixture {
        throttle: Arc<Throttle>,
        seconds: Arc<AtomicU64>,
    }

    impl Fixture {
        fn new() -> Self {
            Self::with_limit(3, Duration::from_secs(30))
        }

        fn with_limit(failures: u32, per: Duration) -> Self {
            let seconds = Arc::new(AtomicU64::new(1_000_000));
            let mock = Arc::clone(&seconds);
            let now =
                move || SystemTime::UNIX_EPOCH + Duration::from_secs(mock.load(Ordering::Relaxed));
            let throttle = Throttle::by_address(|head| {
                head.headers.get("x-from")?.to_str().ok()?.parse().ok()
            });
            Self { throttle: Arc::new(throttle.failures(failures, per).clock(now)), seconds }
        }

        fn advance(&self, seconds: i64) {
            let now = self.seconds.load(Ordering::Relaxed);
            self.seconds.store(now.saturating_add_signed(seconds), Ordering::Relaxed);
        }

        fn begin(&self, from: &str, user: &str, password: &str) -> Result<Attempt, Option<u64>> {
            let request = http::Request::builder().header("x-from", from).body(()).unwrap();
            let pair = STANDARD.encode(format!("{user}:{password}"));
            let credentials = BasicCredentials::decode(pair.as_bytes()).unwrap();
            let admitted = self.throttle.admit(&request.into_parts().0, &credentials);
            admitted.map_err(|rejection| {
                assert_eq!(rejection.kind(), RejectionKind::TooManyRequests);
                rejection.retry_after().map(|wait| wait.as_secs())
            })
        }

        /// Sends the correct password.
        fn log_in(&self, from: &str, user: &str) -> Result<(), Option<u64>> {
            self.begin(from, user, "correct").map(|attempt| attempt.finish(false))
        }

        /// Sends a wrong password.
        fn guess(&self, from: &str, user: &str) -> Result<(), Option<u64>> {
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
    fn addresses_of_one_subscriber_share_an_allowance() {
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
        // Unknown addresses share one allowance.
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
