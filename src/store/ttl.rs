use std::time::Duration;

/// How long a store keeps a record: at least one millisecond, in whole milliseconds.
///
/// ```
/// use std::time::Duration;
/// use tower_auth::store::Ttl;
///
/// assert_eq!(Ttl::new(Duration::from_secs(2)).as_millis(), 2_000);
/// // A lifetime is rounded up. It never becomes zero.
/// assert_eq!(Ttl::new(Duration::from_micros(1_001)).as_millis(), 2);
/// assert_eq!(Ttl::new(Duration::ZERO).as_millis(), 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl(u64);

impl Ttl {
    /// The longest lifetime: 100 years of 365 days.
    pub const MAX: Self = Self(100 * 365 * 24 * 60 * 60 * 1_000);

    /// Creates a lifetime. It is rounded up to whole milliseconds, and limited to [`Ttl::MAX`].
    #[must_use]
    pub fn new(duration: Duration) -> Self {
        let millis = duration.as_nanos().div_ceil(1_000_000);
        Self(u64::try_from(millis).unwrap_or(u64::MAX).clamp(1, Self::MAX.0))
    }

    /// Returns the lifetime in milliseconds.
    #[must_use]
    pub fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns the lifetime as a [`Duration`].
    #[must_use]
    pub fn as_duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl From<Duration> for Ttl {
    fn from(duration: Duration) -> Self {
        Self::new(duration)
    }
}
