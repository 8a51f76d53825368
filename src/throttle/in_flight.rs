use std::collections::HashMap;

/// The keys that an attempt is counted under. All are keyed hashes.
#[derive(Clone, Copy)]
pub(crate) struct AttemptKeys {
    pub(crate) address: u64,
    pub(crate) user: u64,
    /// Address and user.
    pub(crate) pair: u64,
    /// Address and credentials.
    pub(crate) credentials: u64,
}

/// The attempts that have not finished yet.
#[derive(Default)]
pub(crate) struct InFlight {
    /// By address and credentials: equal attempts share an entry.
    attempts: HashMap<u64, SharedAttempt>,
    /// The number of entries in `attempts`, by address.
    by_address: HashMap<u64, u32>,
}

struct SharedAttempt {
    requests: u32,
    counted: bool,
}

impl InFlight {
    /// Adds an attempt. Returns `false` if its address has `max` others in flight.
    pub(crate) fn begin(&mut self, keys: AttemptKeys, max: u32) -> bool {
        if let Some(attempt) = self.attempts.get_mut(&keys.credentials) {
            attempt.requests = attempt.requests.saturating_add(1);
            return true;
        }
        let count = self.by_address.entry(keys.address).or_default();
        if *count >= max {
            return false;
        }
        *count += 1;
        self.attempts.insert(keys.credentials, SharedAttempt { requests: 1, counted: false });
        true
    }

    /// Removes an attempt, and returns whether to count it as a failure.
    ///
    /// Of equal concurrent attempts, only the first failure counts.
    pub(crate) fn finish(&mut self, keys: AttemptKeys, failed: bool) -> bool {
        let Some(attempt) = self.attempts.get_mut(&keys.credentials) else { return failed };
        let counts = failed && !attempt.counted;
        attempt.counted |= failed;
        attempt.requests = attempt.requests.saturating_sub(1);
        if attempt.requests == 0 {
            self.attempts.remove(&keys.credentials);
            if let Some(count) = self.by_address.get_mut(&keys.address) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.by_address.remove(&keys.address);
                }
            }
        }
        counts
    }
}
