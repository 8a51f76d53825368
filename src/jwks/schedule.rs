//! When to fetch again.

use std::time::Duration;

use crate::config_error::ConfigError;

/// How often keys are fetched, and for how long they are used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) refresh: Duration,
    pub(crate) cooldown: Duration,
    pub(crate) timeout: Duration,
    pub(crate) max_stale: Duration,
}

impl Pace {
    pub(crate) const DEFAULT: Self = Self {
        refresh: Duration::from_secs(600),
        cooldown: Duration::from_secs(30),
        timeout: Duration::from_secs(5),
        max_stale: Duration::from_secs(3600),
    };

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        const DAY: Duration = Duration::from_secs(86_400);
        let fault = |message| Err(ConfigError::new(message));
        if [self.refresh, self.cooldown, self.timeout].iter().any(|time| time.as_millis() < 100) {
            return fault("refresh, cooldown and timeout of keys: give each 100 ms or more");
        }
        if [self.refresh, self.cooldown].iter().any(|time| *time > DAY)
            || self.timeout > Duration::from_secs(60)
            || self.max_stale > 7 * DAY
        {
            return fault(
                "keys that are kept too long outlive their removal: give at most 1 day for refresh and \
                 cooldown, 60 s for timeout, and 7 days for max_stale",
            );
        }
        Ok(())
    }

    /// For how long a set is fresh: as long as its source says, but not longer than `refresh`, and not so
    /// short that its source would be asked all the time.
    pub(crate) fn freshness(&self, max_age: Option<Duration>) -> Duration {
        let least = self.cooldown.min(self.refresh);
        max_age.map_or(self.refresh, |age| age.clamp(least, self.refresh))
    }

    /// When to refresh ahead: at about 80 % of the freshness, so that instances that were started together
    /// do not ask together.
    pub(crate) fn ahead(freshness: Duration, random: f64) -> Duration {
        freshness.mul_f64(0.75 + 0.1 * random)
    }

    /// How long to wait after so many failures in a row: from 1 s, doubling, to the cooldown; each time
    /// between half of that and all of it.
    pub(crate) fn back_off(&self, failures: u32, random: f64) -> Duration {
        let doubled = Duration::from_secs(1 << failures.saturating_sub(1).min(16));
        doubled.min(self.cooldown).mul_f64(0.5 + 0.5 * random)
    }

    /// Longer than this, no attempt is ever put off. If one seems to be, the clock was turned back.
    pub(crate) fn longest(&self) -> Duration {
        self.refresh.max(self.cooldown) + self.timeout
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace::DEFAULT;

    #[test]
    fn freshness_is_kept_within_bounds() {
        let fresh =
            |seconds: Option<u64>| PACE.freshness(seconds.map(Duration::from_secs)).as_secs();
        assert_eq!([None, Some(0), Some(60), Some(86_400)].map(fresh), [600, 30, 60, 600]);
        let hasty = Pace { refresh: Duration::from_secs(1), ..PACE };
        assert_eq!(hasty.freshness(Some(Duration::ZERO)), Duration::from_secs(1));
    }

    #[test]
    fn failures_double_the_wait_up_to_the_cooldown() {
        let most = |failures| PACE.back_off(failures, 1.0).as_secs();
        assert_eq!([1, 2, 3, 4, 5, 6, 7, u32::MAX].map(most), [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(PACE.back_off(5, 0.0), Duration::from_secs(8));
    }
}
