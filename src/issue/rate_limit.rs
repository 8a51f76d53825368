use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use crate::throttle::buckets::{Buckets, Limit};

/// How often the tokens of a login are refreshed, in this process.
pub(super) struct RefreshRates {
    buckets: Buckets,
    hasher: RandomState,
}

impl RefreshRates {
    /// 120 per minute.
    const LIMIT: Limit = Limit { attempts: 120, interval: 500_000_000 };

    pub(super) fn new() -> Self {
        Self { buckets: Buckets::new(), hasher: RandomState::new() }
    }

    /// Counts a refresh, or returns how long to wait.
    pub(super) fn admit(&mut self, sid: &str, now: Duration) -> Result<(), Duration> {
        let (key, now) = (self.hasher.hash_one(sid), now.as_nanos());
        match self.buckets.wait(key, Self::LIMIT, now) {
            0 => {
                self.buckets.take(key, Self::LIMIT, now);
                Ok(())
            }
            wait => Err(Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX))),
        }
    }
}
