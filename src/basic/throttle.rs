use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, UNIX_EPOCH},
};

use http::request::Parts;
use quick_cache::unsync::Cache;

use super::BasicCredentials;
use crate::{
    Rejection, RejectionKind,
    clock::{Clock, SystemClock},
};

/// Slows guessing down: who sent too many wrong passwords gets 429 with `Retry-After`, and no password of theirs is
/// looked at until then.
///
/// ```
/// use std::net::SocketAddr;
/// use axum::extract::ConnectInfo;
/// use tower_auth::basic::Throttle;
///
/// # type Staff = tower_auth::BasicAuth<tower_auth::basic::Users>;
/// # fn f(staff: Staff) -> Result<(), tower_auth::ConfigError> {
/// // Straight from the socket, with axum's `into_make_service_with_connect_info`:
/// let staff = staff.throttle(Throttle::by_address(|head| {
///     head.extensions.get::<ConnectInfo<SocketAddr>>().map(|from| from.0.ip())
/// }))?;
/// # Ok(()) }
/// # fn g(staff: Staff) -> Result<(), tower_auth::ConfigError> {
/// // Behind a proxy that sets this header, whatever the client sent in it:
/// let staff = staff.throttle(Throttle::by_address(|head| {
///     head.headers.get("x-real-ip")?.to_str().ok()?.parse().ok()
/// }))?;
/// # Ok(()) }
/// ```
///
/// Failures are counted by address, and by user. An address runs out of tries whatever users they are for. A user
/// whom many addresses guess at runs out, too; but that is for addresses which have themselves been wrong about that user, so that
/// nobody can lock a user out: a right password is let in from any other address.
///
/// Tries come back one by one, evenly. What is counted is bounded: 65,536 of each kind, the least used of which are
/// forgotten first.
///
/// # Security
///
/// - The address is what the closure says. From a header that clients can set, it is whatever they like, and nothing is slowed down.
///   Requests of which it cannot tell count as those of one address.
/// - An IPv6 address counts as its /64, which is what one subscriber has.
/// - Tries that are under way at the same time count when they end. They are paid back: who went over waits the longer.
/// - Counts are this process's own.
#[must_use]
pub struct Throttle {
    address: Box<Address>,
    failures: u32,
    per: Duration,
    clock: Box<dyn Clock>,
    /// So that nobody can choose names that count as one.
    key: RandomState,
    tables: Mutex<Tables>,
}

type Address = dyn Fn(&Parts) -> Option<IpAddr> + Send + Sync;

/// By what a try is counted, when the last of its tries is back, in nanoseconds since 1970.
struct Tables {
    addresses: Cache<u64, u64>,
    users: Cache<u64, u64>,
    /// Users from addresses.
    pairs: Cache<u64, u64>,
}

/// Whose try it is.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    address: u64,
    user: u64,
    pair: u64,
}

impl Throttle {
    const ENTRIES: usize = 65_536;
    const FAILURES: u32 = 10;
    const PER: Duration = Duration::from_secs(300);
    /// Nobody waits longer than that for the first try, whatever was sent at once.
    const LONGEST: Duration = Duration::from_secs(3_600);
    /// A year; times are counted in 64 bits.
    const LONGEST_PER: Duration = Duration::from_secs(365 * 86_400);
    /// How many wrong tries an address has for a user who is guessed at from many.
    const OWN: u32 = 2;

    /// Ten wrong tries in five minutes, by the address that the closure reads from the head of a request.
    pub fn by_address<F>(address: F) -> Self
    where
        F: Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static,
    {
        let table = || Cache::new(Self::ENTRIES);
        let tables = Tables { addresses: table(), users: table(), pairs: table() };
        Self {
            address: Box::new(address),
            failures: Self::FAILURES,
            per: Self::PER,
            clock: Box::new(SystemClock),
            key: RandomState::new(),
            tables: Mutex::new(tables),
        }
    }

    /// So many wrong tries in so much time: that many at once, after which they come back evenly. Of a user, twice as
    /// many. At least one, and between a millisecond and a year. Nobody waits longer than an hour for the next.
    pub fn failures(mut self, failures: u32, per: Duration) -> Self {
        self.failures = failures.max(1);
        self.per = per.clamp(Duration::from_millis(1), Self::LONGEST_PER);
        self
    }

    /// Reads the time from here: see [`clock`](crate::clock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Whether a try may be made.
    ///
    /// # Errors
    ///
    /// A rejection that says when the next may be.
    pub(super) fn admit(&self, head: &Parts, sent: &BasicCredentials) -> Result<Origin, Rejection> {
        let address = (self.address)(head).map(network);
        let origin = Origin {
            address: self.key.hash_one(address),
            user: self.key.hash_one(sent.user_id()),
            pair: self.key.hash_one((address, sent.user_id())),
        };
        let now = self.now();
        let tables = self.tables();
        let wait = |table: &Cache<u64, u64>, key: u64, tries: u32| {
            let back = u128::from(table.get(&key).copied().unwrap_or_default());
            // A time that is too far away is of a clock that was turned back.
            if back > now + self.furthest(tries) {
                return 0;
            }
            // While `tries` intervals and more are out, there is none left.
            back.saturating_sub(self.interval().saturating_mul(u128::from(tries - 1)))
                .saturating_sub(now)
        };
        let own = wait(&tables.addresses, origin.address, self.failures);
        let pair = wait(&tables.pairs, origin.pair, Self::OWN);
        let user = wait(&tables.users, origin.user, self.of_a_user()).min(pair);
        drop(tables);
        match own.max(user) {
            0 => Ok(origin),
            nanos => {
                let wait = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
                Err(Rejection::new(RejectionKind::TooManyRequests)
                    .with_retry_after(wait)
                    .because("too many wrong passwords"))
            }
        }
    }

    /// Counts a try that was wrong.
    pub(super) fn count(&self, origin: Origin) {
        let now = self.now();
        let mut tables = self.tables();
        let Tables { addresses, users, pairs } = &mut *tables;
        for (table, key, tries) in [
            (addresses, origin.address, self.failures),
            (users, origin.user, self.of_a_user()),
            (pairs, origin.pair, Self::OWN),
        ] {
            let furthest = now + self.furthest(tries);
            let back = u128::from(table.get(&key).copied().unwrap_or_default());
            let back = if back > furthest { now } else { back.max(now) };
            let back = (back + self.interval()).min(furthest);
            table.insert(key, u64::try_from(back).unwrap_or(u64::MAX));
        }
    }

    fn of_a_user(&self) -> u32 {
        self.failures.saturating_mul(2)
    }

    /// How far away the last of so many tries may be, in nanoseconds: where the first of them is as far away as any may be.
    fn furthest(&self, tries: u32) -> u128 {
        self.interval().saturating_mul(u128::from(tries - 1)) + Self::LONGEST.as_nanos()
    }

    /// How long one try takes to come back, in nanoseconds.
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

/// An address, or what of it one subscriber has.
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
