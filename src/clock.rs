//! The clock that every check of time reads, so that tests can turn it.

use std::time::SystemTime;

/// Tells the time.
///
/// [`SystemClock`] is what programs use. A closure is a clock too, which is how tests turn time
/// instead of waiting for it:
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
    /// The current wall-clock time.
    fn now(&self) -> SystemTime;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
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
