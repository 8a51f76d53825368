use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::clock::Clock;

/// A mock clock. Its time changes only when a test changes it.
///
/// Clones share the same time.
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
/// Pass clones of one clock to everything that takes part in the test, for example the token issuer
/// and the [`JwtAuth`](crate::JwtAuth). By default, a `JwtAuth` has a leeway of 60 s: it rejects a
/// token 60 s after its `exp`.
#[derive(Clone, Debug)]
pub struct TestClock(Arc<Mutex<SystemTime>>);

impl TestClock {
    /// Creates a clock that shows the current time, rounded down to seconds as in tokens.
    #[must_use]
    pub fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::at(UNIX_EPOCH + Duration::from_secs(now.as_secs()))
    }

    /// Creates a clock that shows `time`.
    #[must_use]
    pub fn at(time: SystemTime) -> Self {
        Self(Arc::new(Mutex::new(time)))
    }

    /// Moves the clock forward.
    ///
    /// # Panics
    ///
    /// Panics if the result is out of range for [`SystemTime`].
    #[track_caller]
    #[allow(clippy::expect_used)] // documented above
    pub fn advance(&self, by: Duration) {
        let mut time = self.time();
        *time = time.checked_add(by).expect("the time must be in the range of SystemTime");
    }

    /// Sets the clock to `time`, which can be earlier than the current time.
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
