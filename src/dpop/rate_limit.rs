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
            return Err(Duration::from_nanos(buckets.rotate_at.saturating_sub(now).max(1)));
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
