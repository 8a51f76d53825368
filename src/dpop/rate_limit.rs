use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    mem,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// How often each key is used, in this process.
///
/// Each key has a bucket, which starts full and loses one token per proof (the generic cell rate
/// algorithm). No bucket that is not full is dropped.
pub(super) struct RateLimit {
    hasher: RandomState,
    buckets: Mutex<Buckets>,
    /// In nanoseconds: the time in which one token becomes available, and in which all do.
    interval: u64,
    refill_time: u64,
    max_keys: usize,
}

/// The times at which the buckets are full, in nanoseconds.
///
/// A bucket that was not used for the refill time is full, like a new one. So there are two tables,
/// and after each refill time, the older one is dropped as a whole.
#[derive(Default)]
struct Buckets {
    recent: HashMap<u64, u64>,
    older: HashMap<u64, u64>,
    /// The time from which `recent` counts as older.
    rotate_at: u64,
}

/// The longest time that a client is told to wait for space in the tables.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

impl RateLimit {
    /// The number of keys in each of the two tables: at most about 4 MiB in total.
    const MAX_KEYS: usize = 65_536;

    /// Allows `burst` uses of a key at once, and `per_second` on average.
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        let interval = 1_000_000_000 / u64::from(per_second.max(1));
        Self {
            hasher: RandomState::new(),
            buckets: Mutex::default(),
            interval,
            refill_time: interval * u64::from(burst.max(1)),
            max_keys: Self::MAX_KEYS,
        }
    }

    /// Counts a use of a key, or returns how long to wait.
    ///
    /// `now` is the time since an instant that stays the same while the process runs.
    pub(super) fn admit(&self, key: &str, now: Duration) -> Result<(), Duration> {
        let key = self.hasher.hash_one(key);
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.rotate(now, self.refill_time);
        let known = buckets.recent.get(&key).or_else(|| buckets.older.get(&key)).copied();
        // A time beyond the maximum dates from before a mock clock was set back.
        let latest = now.saturating_add(self.refill_time);
        let full_at = known.filter(|full_at| *full_at <= latest).unwrap_or_default().max(now);
        let next = full_at.saturating_add(self.interval);
        if next > latest {
            return Err(Duration::from_nanos(next - latest));
        }
        if !buckets.recent.contains_key(&key) && buckets.recent.len() >= self.max_keys {
            let wait = Duration::from_nanos(buckets.rotate_at.saturating_sub(now).max(1));
            return Err(wait.min(LONGEST_WAIT));
        }
        buckets.recent.insert(key, next);
        Ok(())
    }
}

impl Buckets {
    fn rotate(&mut self, now: u64, refill_time: u64) {
        let next = now.saturating_add(refill_time);
        // The second condition is for a mock clock that was set back.
        if now < self.rotate_at && self.rotate_at <= next {
            return;
        }
        // The older table is older than the refill time in any case. The other one may not be.
        self.older = mem::take(&mut self.recent);
        self.rotate_at = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    fn len(limit: &RateLimit) -> usize {
        let buckets = limit.buckets.lock().unwrap();
        buckets.recent.len() + buckets.older.len()
    }

    #[test]
    fn burst_is_available_at_once_and_the_rate_after_it() {
        let limit = RateLimit::new(10, 3);
        let at = |millis| MILLI * millis;
        for _ in 0..3 {
            assert_eq!(limit.admit("a", at(1_000)), Ok(()));
        }
        assert_eq!(limit.admit("a", at(1_000)), Err(at(100)));
        assert_eq!(limit.admit("a", at(1_030)), Err(at(70)));
        assert_eq!(limit.admit("a", at(1_100)), Ok(()));
        assert_eq!(limit.admit("a", at(1_100)), Err(at(100)));
        // A rejected use does not count.
        assert_eq!(limit.admit("a", at(1_200)), Ok(()));
        // After the refill time, the whole burst is available again.
        for _ in 0..3 {
            assert_eq!(limit.admit("a", at(1_500)), Ok(()));
        }
        assert!(limit.admit("a", at(1_500)).is_err());
    }

    /// However the use of a key is spread, it is never used more than the limit allows.
    #[test]
    fn limit_holds_across_the_rotation_of_the_tables() {
        for offset in 0..40 {
            let limit = RateLimit::new(100, 4);
            let mut admitted = 0;
            for step in 0..1_000 {
                let now = MILLI * (step + offset);
                // Other keys cause rotations at other times.
                let _ = limit.admit("b", now);
                if step % 7 != offset % 7 && limit.admit("a", now).is_ok() {
                    admitted += 1;
                }
                assert!(admitted <= 4 + step / 10, "{step}: {admitted}");
            }
            assert!(admitted >= 100);
        }
    }

    #[test]
    fn flood_of_keys_is_bounded_and_known_keys_keep_their_state() {
        let limit = RateLimit { max_keys: 100, ..RateLimit::new(10, 10) };
        let mut now = Duration::from_secs(1);
        for _ in 0..10 {
            assert_eq!(limit.admit("known", now), Ok(()));
        }
        for number in 0..1_000 {
            let flood = limit.admit(&format!("{number}"), now);
            assert_eq!(flood.is_ok(), number < 99, "{number}");
        }
        // The known key is used up, and was not forgotten.
        assert!(limit.admit("known", now).is_err());
        assert_eq!(len(&limit), 100);
        for round in 0..5 {
            now += MILLI * 500;
            assert_eq!(limit.admit("known", now), Ok(()), "{round}");
            for number in 0..1_000 {
                let _ = limit.admit(&format!("{round}.{number}"), now);
            }
            assert!(len(&limit) <= 200);
        }
        // New keys are accepted after the refill time.
        now += Duration::from_secs(1);
        assert_eq!(limit.admit("new", now), Ok(()));
    }

    #[test]
    fn wait_for_space_is_at_most_a_minute() {
        let limit = RateLimit { max_keys: 1, ..RateLimit::new(1, 3_600) };
        let now = Duration::from_secs(1);
        assert_eq!(limit.admit("a", now), Ok(()));
        assert_eq!(limit.admit("b", now), Err(Duration::from_secs(60)));
    }

    #[test]
    fn wait_is_bounded_after_a_mock_clock_was_set_back() {
        let limit = RateLimit::new(1, 1);
        assert_eq!(limit.admit("a", Duration::from_secs(1_000)), Ok(()));
        assert_eq!(limit.admit("a", Duration::from_secs(10)), Ok(()));
        assert_eq!(limit.admit("a", Duration::from_secs(10)), Err(Duration::from_secs(1)));
    }
}
