//! Random sequences of attempts, compared with simple models.

use std::{collections::HashMap, time::Duration};

use proptest::prelude::*;

use super::throttle_tests::Fixture;
#[cfg(feature = "store")]
use super::{shared_attempt::SharedAttempt, shared_fixture::SharedFixture};

const CLIENTS: [&str; 5] =
    ["192.0.2.1", "2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8:0:100::1", "unknown"];

/// The networks of each client, with their factors.
const NETWORKS: [&[(&str, u32)]; 5] = [
    &[("v4", 1)],
    &[("64 a", 1), ("56 a", 4), ("48", 16)],
    &[("64 b", 1), ("56 a", 4), ("48", 16)],
    &[("64 c", 1), ("56 b", 4), ("48", 16)],
    &[("unknown", 1)],
];

#[derive(Clone, Copy, Debug)]
enum Step {
    Begin {
        instance: usize,
        client: usize,
        user: u8,
        password: u8,
    },
    /// Ends one of the attempts in flight.
    End {
        attempt: usize,
        outcome: Outcome,
    },
    Advance(i64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Succeeded,
    Failed,
    Dropped,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let begin = (0..3_usize, 0..CLIENTS.len(), 0..3_u8, 0..6_u8);
    let begin = begin.prop_map(|(instance, client, user, password)| Step::Begin {
        instance,
        client,
        user,
        password,
    });
    let outcome = prop_oneof![
        2 => Just(Outcome::Succeeded),
        6 => Just(Outcome::Failed),
        1 => Just(Outcome::Dropped),
    ];
    let end =
        (any::<usize>(), outcome).prop_map(|(attempt, outcome)| Step::End { attempt, outcome });
    let advance = (1..20_i64).prop_map(Step::Advance);
    proptest::collection::vec(prop_oneof![10 => begin, 9 => end, 1 => advance], 0..400)
}

/// Equal attempts, by instance, client, user and password.
type Key = (usize, usize, u8, u8);

#[derive(Clone, Default)]
struct Group {
    members: usize,
    failed: bool,
    window: u64,
}

/// Buckets that are filled step by step: what is missing from a full one, in milliseconds.
#[derive(Default)]
struct LocalModel {
    missing: HashMap<String, u64>,
    groups: HashMap<Key, Group>,
}

/// The attempts of a full bucket, and the milliseconds in which it gets one back.
type ModelLimit = (u64, u64);

/// The names and the limits of what an attempt counts for.
struct Counted<L> {
    networks: Vec<(String, L)>,
    user: (String, L),
    pair: (String, L),
}

impl<L> Counted<L> {
    fn all(self) -> impl Iterator<Item = (String, L)> {
        self.networks.into_iter().chain([self.user, self.pair])
    }
}

/// 3 failures in 30 s.
fn limits(client: usize, user: u8) -> Counted<ModelLimit> {
    let network = |(name, factor): &(&str, u32)| {
        ((*name).to_owned(), (u64::from(3 * factor), 10_000 / u64::from(*factor)))
    };
    Counted {
        networks: NETWORKS[client].iter().map(network).collect(),
        user: (format!("{user}"), (6, 10_000)),
        pair: (format!("{client} {user}"), (2, 10_000)),
    }
}

impl LocalModel {
    /// Returns the milliseconds until an attempt is available.
    fn wait(&self, client: usize, user: u8) -> u64 {
        let wait = |(name, (attempts, interval)): &(String, ModelLimit)| {
            let missing = self.missing.get(name).copied().unwrap_or_default();
            (missing + interval).saturating_sub(attempts * interval)
        };
        let Counted { networks, user, pair } = limits(client, user);
        networks.iter().map(wait).max().unwrap().max(wait(&user).min(wait(&pair)))
    }

    fn count(&mut self, client: usize, user: u8) {
        for (name, (attempts, interval)) in limits(client, user).all() {
            let missing = self.missing.entry(name).or_default();
            *missing = (*missing + interval).min(attempts * interval + 3_600_000);
        }
    }

    fn advance(&mut self, seconds: i64) {
        let millis = 1_000 * u64::try_from(seconds).unwrap();
        self.missing.values_mut().for_each(|missing| *missing = missing.saturating_sub(millis));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn local_limits_are_those_of_the_model(steps in steps()) {
        let (fixture, mut model) = (Fixture::with_limit(3, Duration::from_secs(30)), LocalModel::default());
        let mut in_flight = Vec::new();
        for step in steps {
            match step {
                Step::Begin { client, user, password, .. } if in_flight.len() < 30 => {
                    let (user_id, sent) = (user.to_string(), password.to_string());
                    let begun = fixture.begin(CLIENTS[client], &user_id, &sent);
                    let expected = model.wait(client, user);
                    prop_assert_eq!(begun.as_ref().err().copied(), (expected > 0).then_some(Some(expected / 1_000)));
                    if let Ok(attempt) = begun {
                        let key = (0, client, user, password);
                        model.groups.entry(key).or_default().members += 1;
                        in_flight.push((attempt, key));
                    }
                }
                Step::End { attempt, outcome } if !in_flight.is_empty() => {
                    let (attempt, key) = in_flight.swap_remove(attempt % in_flight.len());
                    match outcome {
                        Outcome::Dropped => drop(attempt),
                        outcome => attempt.finish(outcome == Outcome::Failed),
                    }
                    let group = model.groups.get_mut(&key).unwrap();
                    group.members -= 1;
                    let counts = outcome != Outcome::Succeeded && !group.failed;
                    group.failed |= counts;
                    if group.members == 0 {
                        model.groups.remove(&key);
                    }
                    if counts {
                        model.count(key.1, key.2);
                    }
                }
                Step::Advance(seconds) => {
                    fixture.advance(seconds);
                    model.advance(seconds);
                }
                _ => {}
            }
        }
    }
}

/// Counters of windows of 300 s.
#[cfg(feature = "store")]
#[derive(Default)]
struct SharedModel {
    now: u64,
    counts: HashMap<(u64, String), u64>,
    groups: HashMap<SharedKey, Group>,
}

/// Equal attempts that count once together: those up to a failure.
#[cfg(feature = "store")]
type SharedKey = (Key, usize);

/// 10 failures in 300 s.
#[cfg(feature = "store")]
fn shared_limits(client: usize, user: u8) -> Counted<u64> {
    let network = |(name, factor): &(&str, u32)| ((*name).to_owned(), u64::from(10 * factor));
    Counted {
        networks: NETWORKS[client].iter().map(network).collect(),
        user: (format!("{user}"), 20),
        pair: (format!("{client} {user}"), 2),
    }
}

#[cfg(feature = "store")]
impl SharedModel {
    fn is_over(&self, (name, limit): &(String, u64)) -> bool {
        let key = (self.now / 300, name.clone());
        self.counts.get(&key).is_some_and(|count| count >= limit)
    }

    /// Returns the equal attempts that an attempt joins: none of them has failed.
    fn group_of(&self, key: Key) -> SharedKey {
        let has_failed =
            |number: &usize| self.groups.get(&(key, *number)).is_some_and(|group| group.failed);
        (key, (0..).find(|number| !has_failed(number)).unwrap())
    }

    /// Returns `Retry-After` in seconds if an attempt is rejected.
    fn rejection(&self, key: SharedKey) -> Option<u64> {
        if self.groups.contains_key(&key) {
            return None;
        }
        let (instance, client, user, _) = key.0;
        let Counted { networks, user, pair } = shared_limits(client, user);
        let over: Vec<_> = networks.iter().filter(|limit| self.is_over(limit)).collect();
        let is_checking = |name: &str| {
            let in_network = |at: usize| NETWORKS[at].iter().any(|(network, _)| *network == name);
            self.groups.keys().any(|(key, _)| key.0 == instance && in_network(key.1))
        };
        let is_lasting = over.iter().any(|(name, _)| !is_checking(name))
            || (self.is_over(&user) && self.is_over(&pair));
        match (is_lasting, over.is_empty()) {
            (true, _) => Some(300 - self.now % 300),
            (false, false) => Some(1),
            (false, true) => None,
        }
    }

    fn add(&mut self, window: u64, client: usize, user: u8, change: impl Fn(&mut u64)) {
        for (name, _) in shared_limits(client, user).all() {
            change(self.counts.entry((window, name)).or_default());
        }
    }

    fn begin(&mut self, key: SharedKey) {
        let window = self.now / 300;
        let group = self.groups.entry(key).or_insert(Group { window, ..Group::default() });
        group.members += 1;
        if group.members == 1 {
            self.add(window, key.0.1, key.0.2, |count| *count += 1);
        }
    }

    fn end(&mut self, key: SharedKey, failed: bool) {
        let group = self.groups.get_mut(&key).unwrap();
        group.members -= 1;
        group.failed |= failed;
        if group.members == 0 {
            let group = self.groups.remove(&key).unwrap();
            if !group.failed {
                self.add(group.window, key.0.1, key.0.2, |count| *count -= 1);
            }
        }
    }
}

#[cfg(feature = "store")]
async fn run_shared(steps: Vec<Step>) {
    let fixture = SharedFixture::new(3);
    let mut model = SharedModel::default();
    let mut in_flight: Vec<(SharedAttempt, SharedKey)> = Vec::new();
    for step in steps {
        match step {
            Step::Begin { instance, client, user, password } if in_flight.len() < 30 => {
                let key = model.group_of((instance, client, user, password));
                let (user, password) = (user.to_string(), password.to_string());
                let begun = fixture.begin(instance, CLIENTS[client], &user, &password).await;
                assert_eq!(begun.as_ref().err().copied(), model.rejection(key), "{step:?}");
                match begun {
                    Ok(attempt) => {
                        model.begin(key);
                        in_flight.push((attempt, key));
                    }
                    // A rejection is repeated for a second without the store.
                    Err(_) => {
                        fixture.advance(1);
                        model.now += 1;
                    }
                }
            }
            Step::End { attempt, outcome } if !in_flight.is_empty() => {
                let (attempt, key) = in_flight.swap_remove(attempt % in_flight.len());
                match outcome {
                    Outcome::Dropped => drop(attempt),
                    outcome => attempt.finish(outcome == Outcome::Failed).await,
                }
                model.end(key, outcome != Outcome::Succeeded);
            }
            Step::Advance(seconds) => {
                fixture.advance(seconds);
                model.now += u64::try_from(seconds).unwrap();
            }
            _ => {}
        }
    }
}

#[cfg(feature = "store")]
proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn shared_limits_are_those_of_the_model(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run_shared(steps));
    }
}
