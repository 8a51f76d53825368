use std::time::Duration;

use super::buckets::Limit;

/// The limits of a throttle, which follow from those of an address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How many wrong passwords an address may send in `per`.
    pub(crate) failures: u32,
    pub(crate) per: Duration,
    /// Each limit is divided by this.
    pub(crate) divisor: u32,
}

impl Limits {
    pub(crate) const DEFAULT: Self =
        Self { failures: 10, per: Duration::from_secs(300), divisor: 1 };
    /// How many attempts an address may have in flight, in addition to `failures`.
    const EXTRA_IN_FLIGHT: u32 = 32;
    /// How many failures an address has for a user who is over the limit.
    const FAILURES_PER_PAIR: u32 = 2;

    /// The limit of a wider network is available again in the same time, so its interval is
    /// shorter.
    pub(crate) fn per_network(self, factor: u32) -> Limit {
        let interval = (self.interval() / u128::from(factor)).max(1);
        self.divide(self.failures.saturating_mul(factor), interval)
    }

    pub(crate) fn per_user(self) -> Limit {
        self.divide(self.failures.saturating_mul(2), self.interval())
    }

    pub(crate) fn per_pair(self) -> Limit {
        self.divide(Self::FAILURES_PER_PAIR, self.interval())
    }

    /// Returns how many attempts an address may have in flight in this process.
    pub(crate) fn max_in_flight(self) -> u32 {
        self.failures.saturating_add(Self::EXTRA_IN_FLIGHT)
    }

    /// Returns how many passwords of an address are checked at a time by an instance that decides
    /// without the store.
    #[cfg(feature = "store")]
    pub(crate) fn max_local_checks(self) -> u32 {
        (self.max_in_flight() / self.divisor).max(1)
    }

    /// Returns the time in which an address gets one attempt back, in nanoseconds.
    fn interval(self) -> u128 {
        (self.per.as_nanos() / u128::from(self.failures)).max(1)
    }

    fn divide(self, attempts: u32, interval: u128) -> Limit {
        if self.divisor == 1 {
            return Limit { attempts, interval };
        }
        Limit {
            attempts: (attempts / self.divisor).max(1),
            interval: interval.saturating_mul(u128::from(self.divisor)),
        }
    }
}
