use std::time::Duration;

use quick_cache::unsync::Cache;

/// A table of token buckets.
///
/// A value is the time at which the bucket is full, in nanoseconds since 1970.
pub(crate) struct Buckets(Cache<u64, u128>);

/// The size of a bucket, and the time in which one attempt becomes available again.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) attempts: u32,
    /// In nanoseconds.
    pub(crate) interval: u128,
}

impl Buckets {
    const ENTRIES: usize = 65_536;

    pub(crate) fn new() -> Self {
        Self(Cache::new(Self::ENTRIES))
    }

    #[cfg(all(test, feature = "issue"))]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the nanoseconds until an attempt is available, or zero.
    pub(crate) fn wait(&self, key: u64, limit: Limit, now: u128) -> u128 {
        // One attempt is available as soon as all but one are missing.
        self.full_at(key, limit, now)
            .saturating_sub(limit.interval.saturating_mul(u128::from(limit.attempts) - 1))
            .saturating_sub(now)
    }

    /// Takes an attempt out of a bucket.
    pub(crate) fn take(&mut self, key: u64, limit: Limit, now: u128) {
        let full_at = self.full_at(key, limit, now).saturating_add(limit.interval);
        self.0.insert(key, full_at.min(limit.latest_full_at(now)));
    }

    /// Returns the time at which a bucket is full, which is `now` if it is full already.
    ///
    /// A time beyond the possible maximum dates from before the clock was set back. It is ignored,
    /// because the wait could otherwise last for as long as the clock was set back.
    fn full_at(&self, key: u64, limit: Limit, now: u128) -> u128 {
        let full_at = self.0.get(&key).copied().unwrap_or_default();
        if full_at > limit.latest_full_at(now) { now } else { full_at.max(now) }
    }
}

impl Limit {
    /// The longest time by which concurrent failures extend the wait for a full bucket.
    const MAX_OVERDRAFT: Duration = Duration::from_secs(3_600);

    fn latest_full_at(self, now: u128) -> u128 {
        let all = self.interval.saturating_mul(u128::from(self.attempts));
        now.saturating_add(all).saturating_add(Self::MAX_OVERDRAFT.as_nanos())
    }
}
