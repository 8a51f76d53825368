use std::time::Duration;

use quick_cache::unsync::Cache;

use super::{in_flight::AttemptKeys, window::Window};

/// The networks and pairs that the store has rejected within the last second.
///
/// Their further attempts are rejected without the store, so that a caller over the limit cannot
/// burden the store. The rejected attempts in flight are also counted for a moment, for example for
/// the /48 of the caller. With this table, that cannot block the neighbors of the caller.
pub(crate) struct RecentRejections(Cache<u64, Rejected>);

#[derive(Clone, Copy)]
struct Rejected {
    window: u128,
    /// By the clock of the store, in nanoseconds.
    at: u128,
}

impl RecentRejections {
    const ENTRIES: usize = 65_536;
    /// Short, because attempts in flight can become available again.
    const KEPT_FOR: Duration = Duration::from_secs(1);

    pub(crate) fn new() -> Self {
        Self(Cache::new(Self::ENTRIES))
    }

    pub(crate) fn insert(&mut self, key: u64, window: &Window) {
        self.0.insert(key, Rejected { window: window.number, at: window.now });
    }

    /// Returns whether attempts with these keys are rejected without the store.
    pub(crate) fn contains(&self, keys: AttemptKeys, window: &Window) -> bool {
        let networks = keys.networks_with_factors().map(|(network, _)| network);
        networks.chain([keys.pair]).any(|key| {
            self.0.get(&key).is_some_and(|rejected| {
                let age = window.now.checked_sub(rejected.at);
                rejected.window == window.number
                    && age.is_some_and(|age| age < Self::KEPT_FOR.as_nanos())
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn rejection_is_kept_for_a_second_but_not_into_the_next_window() {
        let keys =
            AttemptKeys { networks: [Some(1), Some(2), None], user: 3, pair: 4, credentials: 5 };
        let window = |millis| {
            Window::at(UNIX_EPOCH + Duration::from_millis(millis), Duration::from_secs(10))
        };
        for key in [1, 2, 4] {
            let mut rejections = RecentRejections::new();
            rejections.insert(key, &window(7_000));
            for (millis, is_kept) in [(6_999, false), (7_000, true), (7_999, true), (8_000, false)]
            {
                assert_eq!(rejections.contains(keys, &window(millis)), is_kept, "{millis}");
            }
            rejections.insert(key, &window(9_900));
            assert!(rejections.contains(keys, &window(9_999)));
            assert!(!rejections.contains(keys, &window(10_000)));
        }
        let mut rejections = RecentRejections::new();
        rejections.insert(keys.user, &window(7_000));
        assert!(!rejections.contains(keys, &window(7_000)), "other users of the address");
    }
}
