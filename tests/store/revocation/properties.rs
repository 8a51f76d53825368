//! No sequence of operations admits a token that a process has seen revoked.

use std::{collections::HashSet, time::Duration};

use futures_util::FutureExt;
use proptest::prelude::*;
use serde_json::Value;
use tower_auth::{
    clock::Clock, revocation::Revocations, store::StoreErrorKind, test_util::TestClock,
};

use super::{
    test_store::{Snapshot, TestStore},
    tokens::{ISSUER, caller, claims, clock, is_revoked, with},
};

#[derive(Clone, Debug)]
enum Step {
    Issue { user: usize, is_own: bool },
    Check { process: usize, token: usize },
    RevokeToken { process: usize, token: usize },
    RevokeSession { process: usize, token: usize },
    RevokeSubject { process: usize, user: usize },
    RevokeIssuer { process: usize },
    Empty,
    Save,
    Restore,
    SwitchOff,
    SwitchOn,
    Advance { millis: u64 },
    SetBack { seconds: u64 },
    Restart { process: usize },
}

const USERS: [&str; 3] = ["alice", "bob", "carol"];

fn step() -> impl Strategy<Value = Step> {
    let (process, token, user) = (0..2_usize, any::<prop::sample::Index>(), 0..USERS.len());
    let token = token.prop_map(|index| index.index(64));
    prop_oneof![
        4 => (user.clone(), any::<bool>()).prop_map(|(user, is_own)| Step::Issue { user, is_own }),
        12 => (process.clone(), token.clone())
            .prop_map(|(process, token)| Step::Check { process, token }),
        3 => (process.clone(), token.clone())
            .prop_map(|(process, token)| Step::RevokeToken { process, token }),
        1 => (process.clone(), token)
            .prop_map(|(process, token)| Step::RevokeSession { process, token }),
        1 => (process.clone(), user).prop_map(|(process, user)| Step::RevokeSubject { process, user }),
        1 => process.clone().prop_map(|process| Step::RevokeIssuer { process }),
        1 => Just(Step::Empty),
        2 => Just(Step::Save),
        2 => Just(Step::Restore),
        1 => Just(Step::SwitchOff),
        2 => Just(Step::SwitchOn),
        3 => (1..8_000_u64).prop_map(|millis| Step::Advance { millis }),
        1 => (1..200_u64).prop_map(|seconds| Step::SetBack { seconds }),
        1 => process.prop_map(|process| Step::Restart { process }),
    ]
}

/// What one process has seen. It forgets it when it restarts.
struct Process {
    revocations: Revocations,
    seen_revoked: HashSet<usize>,
}

struct World {
    clock: TestClock,
    store: TestStore,
    staleness: Duration,
    processes: Vec<Process>,
    tokens: Vec<Value>,
}

impl World {
    fn new(staleness: Duration) -> Self {
        let clock = clock();
        let store = TestStore::new(&clock);
        let mut world = Self { clock, store, staleness, processes: Vec::new(), tokens: Vec::new() };
        world.processes = (0..2).map(|_| world.start()).collect();
        world
    }

    fn start(&self) -> Process {
        let revocations = self.store.process().staleness(self.staleness).build().unwrap();
        Process { revocations, seen_revoked: HashSet::new() }
    }

    /// Marks the existing tokens that a successful revocation affects.
    fn mark(&mut self, process: usize, is_affected: impl Fn(usize, &Value) -> bool) {
        let affected = self.tokens.iter().enumerate().filter(|(n, token)| is_affected(*n, token));
        self.processes[process].seen_revoked.extend(affected.map(|(n, _)| n));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_sequence_admits_a_token_that_the_process_has_seen_revoked(
        steps in prop::collection::vec(step(), 1..60),
        is_stale in any::<bool>(),
    ) {
        let staleness = Duration::from_secs(if is_stale { 5 } else { 0 });
        let mut world = World::new(staleness);
        let mut saved = Snapshot::new();
        for step in steps {
            match step {
                Step::Issue { user, is_own } => {
                    let number = world.tokens.len();
                    let token = with(claims(&world.clock, &number.to_string()), "sub", USERS[user]);
                    let token = with(token, "sid", format!("s{}", number / 2));
                    let start = token["iat"].clone();
                    world.tokens.push(if is_own { with(token, "fst", start) } else { token });
                }
                Step::Check { process, token } if token < world.tokens.len() => {
                    let process = &mut world.processes[process];
                    let caller = caller(&world.tokens[token]);
                    let result = process.revocations.check(&caller).now_or_never().unwrap();
                    if is_revoked(&result) {
                        process.seen_revoked.insert(token);
                    }
                    prop_assert!(result.is_err() || !process.seen_revoked.contains(&token));
                }
                Step::RevokeToken { process, token } if token < world.tokens.len() => {
                    let caller = caller(&world.tokens[token]);
                    let revocations = &world.processes[process].revocations;
                    if revocations.token(&caller).now_or_never().unwrap().is_ok() {
                        world.mark(process, |number, _| number == token);
                    }
                }
                Step::RevokeSession { process, token } if token < world.tokens.len() => {
                    let sid = world.tokens[token]["sid"].as_str().unwrap().to_owned();
                    let revocations = &world.processes[process].revocations;
                    if revocations.session(ISSUER, &sid).now_or_never().unwrap().is_ok() {
                        world.mark(process, |_, token| token["sid"] == *sid);
                    }
                }
                Step::RevokeSubject { process, user } => {
                    let revocations = &world.processes[process].revocations;
                    let done = revocations.subject(ISSUER, USERS[user]).now_or_never().unwrap();
                    let now = super::tokens::seconds(world.clock.now());
                    if done.is_ok() {
                        world.mark(process, |_, token| {
                            token["sub"] == USERS[user] && token["iat"].as_u64().unwrap() <= now
                        });
                    }
                }
                Step::RevokeIssuer { process } => {
                    let revocations = &world.processes[process].revocations;
                    let now = super::tokens::seconds(world.clock.now());
                    if revocations.issuer(ISSUER).now_or_never().unwrap().is_ok() {
                        world.mark(process, |_, token| token["iat"].as_u64().unwrap() <= now);
                    }
                }
                Step::Empty => world.store.clear(),
                Step::Save => saved = world.store.snapshot(),
                Step::Restore => world.store.restore(&saved),
                Step::SwitchOff => world.store.fail_with(Some(StoreErrorKind::Unavailable)),
                Step::SwitchOn => world.store.fail_with(None),
                Step::Advance { millis } => world.clock.advance(Duration::from_millis(millis)),
                Step::SetBack { seconds } => {
                    let now = world.clock.now();
                    world.clock.set(now - Duration::from_secs(seconds));
                }
                Step::Restart { process } => world.processes[process] = world.start(),
                _ => {}
            }
        }
    }
}

/// The orders of a logout and a refresh of the model: the refreshed token has the `fst` and the
/// `sid` of the first one, and the issuer's clock can be ahead.
#[test]
fn refresh_in_any_order_with_a_logout_gives_no_valid_token_afterwards() {
    for ahead in [0, 5] {
        for is_everywhere in [false, true] {
            // Before, at the same time as, and after the logout.
            for refreshed_at in 0..6_u64 {
                let clock = clock();
                let start = super::tokens::seconds(clock.now());
                let store = TestStore::new(&clock);
                let here = store.process().staleness(Duration::ZERO).build().unwrap();
                let first = with(claims(&clock, "1"), "fst", start);
                let check = |token: &Value| here.check(&caller(token)).now_or_never().unwrap();
                assert!(check(&first).is_ok());
                let mut refreshed = None;
                for second in 0..8 {
                    clock.advance(Duration::from_secs(1));
                    if second == refreshed_at {
                        let token = with(claims(&clock, "2"), "fst", start);
                        let issued = token["iat"].as_u64().unwrap() + ahead;
                        refreshed = Some(with(token, "iat", issued));
                    }
                    if second == 3 {
                        let done = match is_everywhere {
                            true => here.subject(ISSUER, "alice"),
                            false => here.session(ISSUER, "s"),
                        };
                        done.now_or_never().unwrap().unwrap();
                    }
                    for token in [Some(&first), refreshed.as_ref()].into_iter().flatten() {
                        assert_eq!(check(token).is_ok(), second < 3, "{second} {refreshed_at}");
                    }
                }
                // A new login starts another family.
                let login = with(claims(&clock, "3"), "fst", super::tokens::seconds(clock.now()));
                assert!(check(&with(login, "sid", "new")).is_ok());
            }
        }
    }
}
