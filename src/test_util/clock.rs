use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::clock::Clock;

/// A clock that stands still until it is turned. Clones are the same clock.
///
/// ```
/// use std::time::Duration;
/// use tower_auth::{clock::Clock, test_util::TestClock};
///
/// let clock = TestClock::new();
/// let before = clock.now();
/// clock.clone().advance(Duration::from_secs(60));
/// assert_eq!(clock.now(), before + Duration::from_secs(60));
/// ```
///
/// Give it to everything that tells the time together: the mint and the validator, say. The latter allows for
/// clocks that differ by 60 s, unless told otherwise: a token is refused that much after its `exp`.
#[derive(Clone, Debug)]
pub struct TestClock(Arc<Mutex<SystemTime>>);

impl TestClock {
    /// Starts at the present time, in whole seconds, as tokens tell it.
    #[must_use]
    pub fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::at(UNIX_EPOCH + Duration::from_secs(now.as_secs()))
    }

    /// Starts at this time.
    #[must_use]
    pub fn at(time: SystemTime) -> Self {
        Self(Arc::new(Mutex::new(time)))
    }

    /// Turns it forward.
    ///
    /// # Panics
    ///
    /// If that is further than [`SystemTime`] goes.
    pub fn advance(&self, by: Duration) {
        *self.time() += by;
    }

    /// Turns it to this time, which may be an earlier one.
    pub fn set(&self, time: SystemTime) {
        *self.time() = time;
    }

    fn time(&self) -> MutexGuard<'_, SystemTime> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for TestClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        *self.time()
    }
}
