use std::collections::{HashMap, hash_map::Entry};

/// The keys that an attempt is counted under. All are keyed hashes.
#[derive(Clone, Copy)]
pub(crate) struct AttemptKeys {
    /// The networks of the client, narrowest first.
    pub(crate) networks: [Option<u64>; 3],
    pub(crate) user: u64,
    /// Address and user.
    pub(crate) pair: u64,
    /// Address and credentials.
    pub(crate) credentials: u64,
}

impl AttemptKeys {
    /// By which the limits of an address are multiplied for it, a /56 and a /48.
    ///
    /// One /64 can use up at most a quarter of the limit of its /56, and one /56 a quarter of the
    /// limit of its /48. Customers of a provider often share a /48, so it must not be easy to
    /// exhaust.
    const FACTORS: [u32; 3] = [1, 4, 16];

    pub(crate) fn networks_with_factors(self) -> impl Iterator<Item = (u64, u32)> + Clone {
        Self::with_factors(self.networks)
    }

    pub(crate) fn with_factors(
        networks: [Option<u64>; 3],
    ) -> impl Iterator<Item = (u64, u32)> + Clone {
        let with_factors = networks.into_iter().zip(Self::FACTORS);
        with_factors.filter_map(|(network, factor)| Some((network?, factor)))
    }
}

/// The attempts that have not finished yet.
#[derive(Default)]
pub(crate) struct InFlight {
    /// By address and credentials: equal attempts share an entry.
    attempts: HashMap<u64, SharedAttempt>,
    /// The number of entries in `attempts`, by network.
    by_network: HashMap<u64, u32>,
}

struct SharedAttempt {
    requests: u32,
    counted: bool,
}

impl InFlight {
    /// Adds an attempt. Returns `false` if its address has `max` others in flight, or one of the
    /// wider networks as many as its factor allows.
    pub(crate) fn begin(&mut self, keys: AttemptKeys, max: u32) -> bool {
        if let Some(attempt) = self.attempts.get_mut(&keys.credentials) {
            attempt.requests = attempt.requests.saturating_add(1);
            return true;
        }
        let is_full = |(network, factor): (u64, u32)| {
            let count = self.by_network.get(&network).copied().unwrap_or_default();
            count >= max.saturating_mul(factor)
        };
        if keys.networks_with_factors().any(is_full) {
            return false;
        }
        for (network, _) in keys.networks_with_factors() {
            let count = self.by_network.entry(network).or_default();
            *count = count.saturating_add(1);
        }
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
            for (network, _) in keys.networks_with_factors() {
                if let Entry::Occupied(mut count) = self.by_network.entry(network) {
                    *count.get_mut() = count.get().saturating_sub(1);
                    if *count.get() == 0 {
                        count.remove();
                    }
                }
            }
        }
        counts
    }
}
