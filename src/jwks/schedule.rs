//! When keys are fetched, and for how long they are used.

use std::time::Duration;

use crate::config_error::ConfigError;

/// The durations that control when keys are fetched and how long they are used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RefreshSchedule {
    pub(crate) refresh: Duration,
    pub(crate) cooldown: Duration,
    pub(crate) timeout: Duration,
    pub(crate) max_stale: Duration,
}

impl RefreshSchedule {
    pub(crate) const DEFAULT: Self = Self {
        refresh: Duration::from_secs(600),
        cooldown: Duration::from_secs(30),
        timeout: Duration::from_secs(5),
        max_stale: Duration::from_secs(3600),
    };

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        const DAY: Duration = Duration::from_secs(86_400);
        if [self.refresh, self.cooldown, self.timeout].iter().any(|time| time.as_millis() < 100) {
            return Err(ConfigError::invalid(
                "refresh, cooldown and timeout of a key set must each be at least 100 ms",
            ));
        }
        if [self.refresh, self.cooldown].iter().any(|time| *time > DAY)
            || self.timeout > Duration::from_secs(60)
            || self.max_stale > 7 * DAY
        {
            return Err(ConfigError::invalid(
                "refresh and cooldown of a key set must be at most 1 day, timeout at most 60 s, and \
                 max_stale at most 7 days: removed keys would stay in use for too long",
            ));
        }
        Ok(())
    }

    /// Returns how long a key set is fresh.
    ///
    /// This is the `max_age` of the response, but at most `refresh`, and not so short that the
    /// source is fetched all the time.
    pub(crate) fn freshness(&self, max_age: Option<Duration>) -> Duration {
        let least = self.cooldown.min(self.refresh);
        max_age.map_or(self.refresh, |age| age.clamp(least, self.refresh))
    }

    /// Returns the time until the next refresh: 75 % to 85 % of the freshness.
    ///
    /// The jitter prevents instances that were started together from fetching together.
    pub(crate) fn refresh_delay(freshness: Duration, random: f64) -> Duration {
        freshness.mul_f64(0.75 + 0.1 * random)
    }

    /// Returns the time to wait after this many failures in a row.
    ///
    /// The back-off starts at 1 s and doubles up to the cooldown, or to `refresh` if that is
    /// shorter. The result is between half of it and all of it (jitter).
    pub(crate) fn back_off(&self, failures: u32, random: f64) -> Duration {
        let doubled = Duration::from_secs(1 << failures.saturating_sub(1).min(16));
        doubled.min(self.cooldown).min(self.refresh).mul_f64(0.5 + 0.5 * random)
    }

    /// Returns the longest time that a fetch can be scheduled ahead.
    ///
    /// A deadline that is farther ahead dates from before the clock was set back.
    pub(crate) fn max_delay(&self) -> Duration {
        self.refresh.max(self.cooldown) + self.timeout
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: RefreshSchedule = RefreshSchedule::DEFAULT;

    #[test]
    fn max_age_is_limited_to_cooldown_and_refresh() {
        let fresh =
            |seconds: Option<u64>| SCHEDULE.freshness(seconds.map(Duration::from_secs)).as_secs();
        assert_eq!([None, Some(0), Some(60), Some(86_400)].map(fresh), [600, 30, 60, 600]);
        let short = RefreshSchedule { refresh: Duration::from_secs(1), ..SCHEDULE };
        assert_eq!(short.freshness(Some(Duration::ZERO)), Duration::from_secs(1));
    }

    #[test]
    fn failures_double_the_back_off_up_to_the_cooldown() {
        let longest = |failures| SCHEDULE.back_off(failures, 1.0).as_secs();
        assert_eq!([1, 2, 3, 4, 5, 6, 7, u32::MAX].map(longest), [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(SCHEDULE.back_off(5, 0.0), Duration::from_secs(8));
    }
}
