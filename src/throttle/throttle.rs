use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, UNIX_EPOCH},
};

use http::request::Parts;
use quick_cache::unsync::Cache;

use super::in_flight::{Origin, UnderWay};
use crate::{
    basic::credentials::BasicCredentials,
    clock::{Clock, SystemClock},
    rejection::{Rejection, RejectionKind},
};

/// Slows guessing down: who sent too many wrong passwords gets 429 with `Retry-After`, and no password of theirs is
/// looked at until then.
///
/// ```
/// use std::net::SocketAddr;
/// use axum::extract::ConnectInfo;
/// use tower_auth::throttle::Throttle;
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
/// - Tries that are under way at the same time count when they end, or when the client goes away. An address has 32 more of
///   them than it has tries, and pays them back: who went over waits the longer. Equal ones are one.
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
    addresses: Cache<u64, u128>,
    users: Cache<u64, u128>,
    /// Users from addresses.
    pairs: Cache<u64, u128>,
    under_way: UnderWay,
}

/// A try that was let through. Where nobody waits for its end, it counts as a wrong one: a client that goes away
/// must not be able to have passwords tried for nothing.
pub(crate) struct Attempt {
    throttle: Arc<Throttle>,
    origin: Origin,
    open: bool,
}

impl Attempt {
    pub(crate) fn new(throttle: Arc<Throttle>, origin: Origin) -> Self {
        Self { throttle, origin, open: true }
    }

    /// What has come of it.
    pub(crate) fn end(mut self, wrong: bool) {
        self.open = false;
        self.throttle.end(self.origin, wrong);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.open {
            self.throttle.end(self.origin, true);
        }
    }
}

impl Throttle {
    const ENTRIES: usize = 65_536;
    const FAILURES: u32 = 10;
    const PER: Duration = Duration::from_secs(300);
    /// What is owed by who was let through at once, beyond all tries, is no more than that.
    const DEBT: Duration = Duration::from_secs(3_600);
    /// How many tries an address may have under way beyond those that may be wrong.
    const AT_ONCE: u32 = 32;
    /// How many wrong tries an address has for a user who is guessed at from many.
    const OWN: u32 = 2;

    /// Ten wrong tries in five minutes, by the address that the closure reads from the head of a request.
    pub fn by_address<F>(address: F) -> Self
    where
        F: Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static,
    {
        let table = || Cache::new(Self::ENTRIES);
        let under_way = UnderWay::default();
        let tables = Tables { addresses: table(), users: table(), pairs: table(), under_way };
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
    /// many. At least one, and at least a millisecond.
    pub fn failures(mut self, failures: u32, per: Duration) -> Self {
        self.failures = failures.max(1);
        self.per = per.max(Duration::from_millis(1));
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
    pub(crate) fn admit(
        self: &Arc<Self>,
        head: &Parts,
        sent: &BasicCredentials,
    ) -> Result<Attempt, Rejection> {
        let address = (self.address)(head).map(network);
        let origin = Origin {
            address: self.key.hash_one(address),
            user: self.key.hash_one(sent.user_id()),
            pair: self.key.hash_one((address, sent.user_id())),
            flight: self.key.hash_one((address, sent.user_id(), sent.password())),
        };
        let now = self.now();
        let mut tables = self.tables();
        let wait = |table: &Cache<u64, u128>, key: u64, tries: u32| {
            let back = self.back(table, key, tries, now);
            // While all but one are out, one is left.
            back.saturating_sub(self.interval().saturating_mul(u128::from(tries) - 1))
                .saturating_sub(now)
        };
        let own = wait(&tables.addresses, origin.address, self.failures);
        let pair = wait(&tables.pairs, origin.pair, Self::OWN);
        let user = wait(&tables.users, origin.user, self.of_user()).min(pair);
        let refuse = |wait, why: &'static str| {
            let rejection = Rejection::new(RejectionKind::TooManyRequests);
            Err(rejection.with_retry_after(wait).because(why))
        };
        match own.max(user) {
            0 if tables.under_way.begin(origin, self.failures.saturating_add(Self::AT_ONCE)) => {
                Ok(Attempt::new(Arc::clone(self), origin))
            }
            0 => refuse(Duration::from_secs(1), "too many passwords at the same time"),
            nanos => {
                let wait = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
                refuse(wait, "too many wrong passwords")
            }
        }
    }

    /// Counts a try that was wrong.
    pub(crate) fn end(&self, origin: Origin, wrong: bool) {
        let now = self.now();
        let mut tables = self.tables();
        if !tables.under_way.end(origin, wrong) {
            return;
        }
        let Tables { addresses, users, pairs, .. } = &mut *tables;
        for (table, key, tries) in [
            (addresses, origin.address, self.failures),
            (users, origin.user, self.of_user()),
            (pairs, origin.pair, Self::OWN),
        ] {
            let back = self.back(table, key, tries, now).saturating_add(self.interval());
            table.insert(key, back.min(self.latest(tries, now)));
        }
    }

    /// When the last try is back, in nanoseconds since 1970: now, where none is out. What is further away than it can be
    /// was counted by a clock that was turned back since, and counts no more.
    fn back(&self, table: &Cache<u64, u128>, key: u64, tries: u32, now: u128) -> u128 {
        let back = table.get(&key).copied().unwrap_or_default();
        if back > self.latest(tries, now) { now } else { back.max(now) }
    }

    fn latest(&self, tries: u32, now: u128) -> u128 {
        let all = self.interval().saturating_mul(u128::from(tries));
        now.saturating_add(all).saturating_add(Self::DEBT.as_nanos())
    }

    fn of_user(&self) -> u32 {
        self.failures.saturating_mul(2)
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

    /// Three tries in 30 s, by the address in a header, and a clock that is turned by the second.
    struct Door(Arc<Throttle>, Arc<AtomicU64>);

    impl Door {
        fn new() -> Self {
            let seconds = Arc::new(AtomicU64::new(1_000_000));
            let turned = Arc::clone(&seconds);
            let now = move || {
                SystemTime::UNIX_EPOCH + Duration::from_secs(turned.load(Ordering::Relaxed))
            };
            let throttle = Throttle::by_address(|head| {
                head.headers.get("x-from")?.to_str().ok()?.parse().ok()
            });
            Self(Arc::new(throttle.failures(3, Duration::from_secs(30)).clock(now)), seconds)
        }

        fn turn(&self, seconds: i64) {
            let now = self.1.load(Ordering::Relaxed);
            self.1.store(now.saturating_add_signed(seconds), Ordering::Relaxed);
        }

        fn admit(&self, from: &str, user: &str) -> Result<(), Option<u64>> {
            self.begin(from, user, "right").map(|attempt| attempt.end(false))
        }

        fn begin(&self, from: &str, user: &str, guess: &str) -> Result<Attempt, Option<u64>> {
            let request = http::Request::builder().header("x-from", from).body(()).unwrap();
            let pair = STANDARD.encode(format!("{user}:{guess}"));
            let sent = BasicCredentials::decode(pair.as_bytes()).unwrap();
            let admitted = self.0.admit(&request.into_parts().0, &sent);
            admitted.map_err(|refused| {
                assert_eq!(refused.kind(), RejectionKind::TooManyRequests);
                refused.retry_after().map(|wait| wait.as_secs())
            })
        }

        /// A try with a wrong password.
        fn guess(&self, from: &str, user: &str) -> Result<(), Option<u64>> {
            self.begin(from, user, "guess").map(|attempt| attempt.end(true))
        }
    }

    #[test]
    fn tries_run_out_and_come_back_one_by_one() {
        let door = Door::new();
        for user in ["a", "b", "c"] {
            assert_eq!(door.guess("10.0.0.1", user), Ok(()));
        }
        assert_eq!(door.guess("10.0.0.1", "d"), Err(Some(10)));
        assert!(door.admit("10.0.0.2", "d").is_ok());
        door.turn(9);
        assert_eq!(door.guess("10.0.0.1", "d"), Err(Some(1)));
        door.turn(1);
        assert_eq!(door.guess("10.0.0.1", "d"), Ok(()));
        assert_eq!(door.guess("10.0.0.1", "d"), Err(Some(10)));
        door.turn(1_000);
        for _ in 0..2 {
            assert_eq!(door.guess("10.0.0.1", "e"), Ok(()));
        }
        assert!(door.admit("10.0.0.1", "e").is_ok());
        // What is right counts for nothing.
        assert!((0..10).all(|_| door.admit("10.0.0.1", "e").is_ok()));
    }

    #[test]
    fn many_addresses_cannot_lock_a_user_out() {
        let door = Door::new();
        let address = |number: u32| format!("10.0.{}.{}", number / 250, number % 250);
        let guesses = (0..500).filter(|number| door.guess(&address(*number), "alice").is_ok());
        assert_eq!(guesses.count(), 500, "one each");
        // From then on, who was wrong about her once may be wrong once more.
        assert_eq!(door.guess(&address(1), "alice"), Ok(()));
        assert!(matches!(door.guess(&address(1), "alice"), Err(Some(_))));
        // And she comes in from elsewhere, also after a slip, and others from wherever they are.
        assert_eq!(door.guess("192.0.2.1", "alice"), Ok(()));
        assert!(door.admit("192.0.2.1", "alice").is_ok());
        assert!(door.admit(&address(1), "bob").is_ok());
    }

    #[test]
    fn what_one_subscriber_has_is_one_address() {
        let door = Door::new();
        for from in ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::"] {
            assert_eq!(door.guess(from, "a"), Ok(()));
        }
        assert!(door.guess("2001:db8::9", "b").is_err());
        assert!(door.guess("2001:db8:0:1::9", "b").is_ok());
        for from in ["10.0.0.1", "::ffff:10.0.0.1", "10.0.0.1"] {
            assert_eq!(door.guess(from, "c"), Ok(()));
        }
        assert!(door.guess("10.0.0.1", "d").is_err());
        // Those of whom nobody can tell are one.
        for from in ["", "unknown", "10.0.0.1, 10.0.0.2"] {
            assert_eq!(door.guess(from, "e"), Ok(()));
        }
        assert!(door.guess("elsewhere", "f").is_err());
    }

    #[test]
    fn who_was_let_through_at_once_pays_it_back() {
        let door = Door::new();
        let begin = |number: usize| door.begin("10.0.0.1", "a", &number.to_string());
        let at_once: Vec<_> = (0..50).map_while(|number| begin(number).ok()).collect();
        assert_eq!(at_once.len(), 35);
        assert_eq!(begin(50).err(), Some(Some(1)));
        assert!(door.begin("10.0.0.2", "a", "x").is_ok_and(|attempt| {
            attempt.end(false);
            true
        }));
        at_once.into_iter().for_each(|attempt| attempt.end(true));
        assert_eq!(door.guess("10.0.0.1", "b"), Err(Some(330)));
        door.turn(330);
        assert_eq!(door.guess("10.0.0.1", "b"), Ok(()));
        assert_eq!(door.guess("10.0.0.1", "b"), Err(Some(10)));
    }

    #[test]
    fn equal_tries_at_the_same_time_are_one() {
        let door = Door::new();
        let begin = || door.begin("10.0.0.1", "a", "old password").unwrap();
        let at_once: Vec<_> = (0..200).map(|_| begin()).collect();
        at_once.into_iter().for_each(|attempt| attempt.end(true));
        assert_eq!(door.guess("10.0.0.1", "a"), Ok(()));
        begin().end(true);
        assert!(door.guess("10.0.0.1", "a").is_err());
    }

    #[test]
    fn a_try_whose_end_nobody_waits_for_was_wrong() {
        let door = Door::new();
        for guess in ["a", "b", "c"] {
            drop(door.begin("10.0.0.1", "alice", guess).unwrap());
        }
        assert!(door.guess("10.0.0.1", "alice").is_err());
    }

    #[test]
    fn a_clock_that_is_turned_back_locks_nobody_out() {
        let door = Door::new();
        (0..3).for_each(|_| door.guess("10.0.0.1", "a").unwrap());
        assert!(door.guess("10.0.0.1", "a").is_err());
        door.turn(-100_000);
        assert_eq!(door.guess("10.0.0.1", "a"), Ok(()));
    }

    #[test]
    fn it_holds_for_settings_of_days_and_of_milliseconds() {
        let day = Duration::from_secs(86_400);
        for (failures, per) in [(10, day), (1, Duration::ZERO), (u32::MAX, day), (0, Duration::MAX)]
        {
            let Door(throttle, seconds) = Door::new();
            let throttle = Arc::into_inner(throttle).unwrap().failures(failures, per);
            let door = Door(Arc::new(throttle), seconds);
            let tries = (0..20).take_while(|_| door.guess("10.0.0.1", "a").is_ok()).count();
            assert_eq!(tries, 20.min(usize::try_from(failures.max(1)).unwrap()), "{per:?}");
        }
    }
}
