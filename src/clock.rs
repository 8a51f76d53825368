//! The clock that all time checks read. Tests replace it with a mock clock.
//!
//! The wall clock can be set back while the process runs. The functions in this module define, in
//! one place, what such a change does to stored instants: it never makes an entry last longer.

#[cfg(any(
    feature = "api-key",
    feature = "audit",
    feature = "jwks",
    feature = "password-hash"
))]
use std::sync::atomic::{AtomicI64, Ordering};
use std::{
    sync::LazyLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A source of the current time.
///
/// [`SystemClock`] is the default everywhere. Closures implement this trait, so that a test can
/// control the time instead of waiting for it:
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use tower_auth::clock::Clock;
///
/// let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
/// let clock = move || noon;
/// assert_eq!(clock.now(), noon);
/// ```
pub trait Clock: Send + Sync + 'static {
    /// Returns the current wall-clock time.
    fn now(&self) -> SystemTime;

    /// Returns the time since an instant that stays the same while the process runs.
    ///
    /// Ages and time limits within a process are differences of it. [`SystemClock`] returns
    /// monotonic time, which continues evenly when the wall clock is set. By default, this is the
    /// time from 1970 to [`now`](Self::now), so that a mock clock controls both.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_auth::clock::{Clock, SystemClock};
    ///
    /// let started = SystemClock.elapsed();
    /// let age: Duration = SystemClock.elapsed().saturating_sub(started);
    /// # assert!(age < Duration::from_secs(60));
    /// ```
    fn elapsed(&self) -> Duration {
        self.now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn elapsed(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
    }
}

impl<F> Clock for F
where
    F: Fn() -> SystemTime + Send + Sync + 'static,
{
    fn now(&self) -> SystemTime {
        self()
    }
}

/// Measures how long a request waits. A mock clock does not control it.
#[derive(Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// A clock that several parts share.
#[cfg(any(feature = "introspection", feature = "issue", feature = "session"))]
#[derive(Clone)]
pub(crate) struct SharedClock(pub(crate) std::sync::Arc<dyn Clock>);

#[cfg(any(feature = "introspection", feature = "issue", feature = "session"))]
impl Clock for SharedClock {
    fn now(&self) -> SystemTime {
        self.0.now()
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Returns `time + duration`, or the last time that the platform can represent.
///
/// `SystemTime + Duration` would panic, and the clock is under the control of the user.
#[cfg(any(feature = "api-key", feature = "jwks", feature = "password-hash"))]
pub(crate) fn saturating_add(time: SystemTime, duration: Duration) -> SystemTime {
    time.checked_add(duration).unwrap_or_else(|| {
        // The last time is not available as a constant.
        let (mut last, mut step) = (time, duration);
        while !step.is_zero() {
            step /= 2;
            last = last.checked_add(step).unwrap_or(last);
        }
        last
    })
}

/// How far an instant may be ahead of the clock before it counts as implausible.
#[cfg(any(feature = "client", feature = "jwks"))]
const MAX_AHEAD: Duration = Duration::from_secs(60);

/// Returns whether `instant` is more than a minute ahead of `now`.
///
/// The clock was then set back after `instant` was recorded, so the age of the entry is unknown.
#[cfg(any(feature = "client", feature = "jwks"))]
pub(crate) fn is_in_future(instant: SystemTime, now: SystemTime) -> bool {
    instant.duration_since(now).is_ok_and(|ahead| ahead > MAX_AHEAD)
}

/// Returns whether `instant` is at most `now` and less than `age` ago.
#[cfg(any(feature = "client", feature = "password-hash"))]
pub(crate) fn is_within(instant: SystemTime, age: Duration, now: SystemTime) -> bool {
    now.duration_since(instant).is_ok_and(|elapsed| elapsed < age)
}

/// Returns whether `now` is in the interval from `start` (inclusive) to `end` (exclusive).
#[cfg(feature = "token-cache")]
pub(crate) fn is_between(start: SystemTime, now: SystemTime, end: SystemTime) -> bool {
    start <= now && now < end
}

/// Returns the time until `deadline`, or `None` if the deadline has passed.
///
/// No deadline is set more than `longest` ahead. One that is farther away dates from before the
/// clock was set back, and counts as passed.
#[cfg(feature = "jwks")]
pub(crate) fn time_left(
    deadline: SystemTime,
    now: SystemTime,
    longest: Duration,
) -> Option<Duration> {
    let left = deadline.duration_since(now).ok()?;
    (!left.is_zero() && left <= longest).then_some(left)
}

/// A deadline that threads share without a lock. Its precision is one millisecond.
#[cfg(any(feature = "api-key", feature = "audit", feature = "jwks", feature = "password-hash"))]
#[derive(Debug)]
pub(crate) struct Deadline(AtomicI64);

#[cfg(any(feature = "api-key", feature = "audit", feature = "jwks", feature = "password-hash"))]
impl Deadline {
    /// Creates a deadline that has passed.
    #[cfg(any(feature = "api-key", feature = "audit", feature = "jwks"))]
    pub(crate) const fn passed() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }

    /// Creates a deadline.
    #[cfg(feature = "password-hash")]
    pub(crate) fn at(deadline: SystemTime) -> Self {
        Self(AtomicI64::new(unix_millis(deadline)))
    }

    /// Moves the deadline.
    #[cfg(feature = "jwks")]
    pub(crate) fn set(&self, deadline: SystemTime) {
        self.0.store(unix_millis(deadline), Ordering::Relaxed);
    }

    /// Returns whether the deadline has passed, or is more than `longest` ahead.
    ///
    /// See [`time_left`] for the latter.
    pub(crate) fn has_passed(&self, now: SystemTime, longest: Duration) -> bool {
        let (now, deadline) = (unix_millis(now), self.0.load(Ordering::Relaxed));
        now >= deadline || deadline.saturating_sub(now) > millis(longest)
    }

    /// Moves a deadline that has passed to `interval` after `now`.
    ///
    /// Returns `true` to one of several threads that call this at the same time. `interval` is also
    /// the longest time that the deadline can be ahead.
    #[cfg(any(feature = "api-key", feature = "audit", feature = "password-hash"))]
    pub(crate) fn claim(&self, now: SystemTime, interval: Duration) -> bool {
        let current = self.0.load(Ordering::Relaxed);
        if !self.has_passed(now, interval) {
            return false;
        }
        let next = unix_millis(now).saturating_add(millis(interval));
        self.0.compare_exchange(current, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Returns the time until the deadline, or zero if it has passed.
    #[cfg(feature = "jwks")]
    pub(crate) fn remaining(&self, now: SystemTime) -> Duration {
        let left = self.0.load(Ordering::Relaxed).saturating_sub(unix_millis(now));
        Duration::from_millis(u64::try_from(left).unwrap_or_default())
    }
}

#[cfg(any(feature = "api-key", feature = "audit", feature = "jwks", feature = "password-hash"))]
fn unix_millis(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => millis(after),
        Err(before) => -millis(before.duration()),
    }
}

#[cfg(any(feature = "api-key", feature = "audit", feature = "jwks", feature = "password-hash"))]
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(all(test, feature = "client", feature = "jwks", feature = "password-hash"))]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn age_of_an_instant_in_the_future_is_not_within_any_limit() {
        assert!(is_within(at(100), MINUTE, at(159)));
        assert!(!is_within(at(100), MINUTE, at(160)));
        assert!(!is_within(at(100), MINUTE, at(99)));
    }

    #[test]
    fn instant_is_in_the_future_when_more_than_a_minute_ahead() {
        assert!(!is_in_future(at(100), at(100)));
        assert!(!is_in_future(at(160), at(100)));
        assert!(is_in_future(at(161), at(100)));
    }

    #[test]
    fn deadline_that_is_too_far_ahead_has_passed() {
        assert_eq!(time_left(at(130), at(100), MINUTE), Some(Duration::from_secs(30)));
        assert_eq!(time_left(at(100), at(100), MINUTE), None);
        assert_eq!(time_left(at(161), at(100), MINUTE), None);

        let deadline = Deadline::at(at(130));
        assert!(!deadline.has_passed(at(129), MINUTE));
        assert!(deadline.has_passed(at(130), MINUTE));
        assert!(deadline.has_passed(at(69), MINUTE));
    }

    #[test]
    fn time_beyond_the_limits_of_the_platform_is_the_limit() {
        let last = saturating_add(at(0), Duration::MAX);
        assert_eq!(last.checked_add(Duration::from_secs(1)), None);
        assert_eq!(saturating_add(last, MINUTE), last);
        assert_eq!(saturating_add(last - MINUTE, Duration::MAX), last);
        assert_eq!(saturating_add(at(0), MINUTE), at(60));
        // A deadline at a limit does not overflow, either.
        let deadline = Deadline::at(last);
        assert!(deadline.has_passed(at(0), MINUTE) && deadline.has_passed(last, MINUTE));
        assert_eq!(Deadline::passed().remaining(last), Duration::ZERO);
    }

    /// Otherwise, each request before 1970 would fetch keys.
    #[test]
    fn deadline_before_1970_is_ahead_until_it_passes() {
        let before_1970 = |seconds| at(0) - Duration::from_secs(seconds);
        let deadline = Deadline::at(before_1970(100));
        assert!(!deadline.has_passed(before_1970(101), MINUTE));
        assert_eq!(deadline.remaining(before_1970(101)), Duration::from_secs(1));
        assert!(deadline.has_passed(before_1970(100), MINUTE));
        assert!(deadline.has_passed(at(0), MINUTE));
    }

    #[test]
    fn passed_deadline_is_claimed_once() {
        let deadline = Deadline::at(at(100));
        assert!(!deadline.claim(at(99), MINUTE));
        assert!(deadline.claim(at(100), MINUTE));
        assert!(!deadline.claim(at(100), MINUTE));
        assert!(deadline.claim(at(160), MINUTE));
    }
}
