//! The schedule over months, with instances whose clocks differ.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use jsonwebtoken::Algorithm;
use proptest::prelude::*;

use super::{
    document::{KeyDocument, MAX_INSTANT, MAX_KEYS, StoredKey},
    schedule::{CLOCK_DIFFERENCE, KeySchedule, RETAIN_MARGIN, active_index},
};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
const START: u64 = 1_800_000_000;
/// The time for which a token is valid, and a verifier's leeway.
const LIFETIME: u64 = 600;
const LEEWAY: u64 = 300;

fn schedule(algorithm: Algorithm) -> KeySchedule {
    let retain = LIFETIME + LEEWAY + RETAIN_MARGIN;
    let days = |days| Duration::from_secs(days * DAY);
    KeySchedule::new(algorithm, days(90), days(1), retain)
}

fn active(keys: &[StoredKey], now: u64) -> &StoredKey {
    &keys[active_index(keys.iter().map(|key| key.active_from), now)]
}

#[derive(Clone, Debug)]
enum Action {
    Nothing,
    Rotate,
    RemoveActive,
    RemoveSuccessor,
    RemoveOldest,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        20 => Just(Action::Nothing),
        2 => Just(Action::Rotate),
        1 => Just(Action::RemoveActive),
        1 => Just(Action::RemoveSuccessor),
        1 => Just(Action::RemoveOldest),
    ]
}

/// Seconds until the next step: often within the lifetime of a token, sometimes months.
fn pause() -> impl Strategy<Value = u64> {
    prop_oneof![3 => 0..700u64, 1 => 0..3 * DAY, 1 => 0..120 * DAY]
}

struct Token {
    key: Box<str>,
    expires_at: u64,
}

/// The keys of several instances, and what services that verify tokens depend on.
struct World {
    schedule: KeySchedule,
    keys: Vec<StoredKey>,
    now: u64,
    tokens: Vec<Token>,
    /// When each key was first published.
    published: HashMap<Box<str>, u64>,
    /// Keys that may be used early: the first one, and successors in an emergency.
    early: HashSet<Box<str>>,
    removed: HashSet<Box<str>>,
}

impl World {
    fn new() -> Self {
        let schedule = schedule(Algorithm::HS256);
        let mut world = Self {
            schedule,
            keys: Vec::new(),
            now: START,
            tokens: Vec::new(),
            published: HashMap::new(),
            early: HashSet::new(),
            removed: HashSet::new(),
        };
        world.advance(START);
        world.early.insert(world.keys[0].id.clone());
        world
    }

    fn advance(&mut self, clock: u64) {
        self.schedule.advance(&mut self.keys, clock).unwrap();
        self.check();
    }

    fn act(&mut self, action: &Action, clock: u64) {
        let position = active_index(self.keys.iter().map(|key| key.active_from), clock);
        let id = |index: usize| self.keys.get(index).map(|key| key.id.clone());
        let successor = id(position + 1);
        let removed = match action {
            Action::Nothing => return,
            Action::Rotate => {
                self.early.extend(successor);
                let _ = self.schedule.rotate(&mut self.keys, clock);
                return self.check();
            }
            Action::RemoveActive => {
                self.early.extend(successor);
                id(position)
            }
            Action::RemoveSuccessor => successor,
            Action::RemoveOldest => {
                if position == 0 {
                    self.early.extend(successor);
                }
                id(0)
            }
        };
        let Some(id) = removed else { return };
        assert!(self.schedule.remove(&mut self.keys, &id, clock).unwrap());
        self.removed.insert(id);
        self.check();
    }

    /// An instance signs with keys that it has read up to a minute ago.
    fn sign(&mut self, keys: &[StoredKey], clock: u64) {
        let key = active(keys, clock);
        if self.removed.contains(&key.id) {
            return;
        }
        let published_for = self.now - self.published[&key.id];
        assert!(
            published_for + CLOCK_DIFFERENCE >= self.schedule.publish_ahead
                || self.early.contains(&key.id),
            "used {published_for} s after its publication"
        );
        self.tokens.push(Token { key: key.id.clone(), expires_at: clock + LIFETIME });
    }

    fn check(&mut self) {
        for key in &self.keys {
            self.published.entry(key.id.clone()).or_insert(self.now);
        }
        assert!((1..=MAX_KEYS).contains(&self.keys.len()));
        assert!(self.keys.is_sorted_by_key(|key| key.active_from));
        let (now, keys, removed) = (self.now, &self.keys, &self.removed);
        // The clock of the service that verifies can be 30 s behind.
        self.tokens.retain(|token| token.expires_at + LEEWAY + 30 >= now);
        for token in &self.tokens {
            let is_published = keys.iter().any(|key| key.id == token.key);
            assert!(is_published || removed.contains(&token.key), "the key of a token is missing");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn key_of_a_valid_token_is_published_and_was_published_ahead(
        steps in prop::collection::vec((pause(), 0..=60u64, 0..60u64, action()), 1..60)
    ) {
        let mut world = World::new();
        for (pause, skew, age, action) in steps {
            world.now += pause;
            // Clocks are between 30 s behind and 30 s ahead.
            let clock = world.now + skew - 30;
            world.advance(clock);
            let read_before = world.keys.clone();
            world.act(&action, clock);
            world.now += age;
            let other_clock = world.now + (60 - skew) - 30;
            world.sign(&read_before, other_clock);
            let keys = world.keys.clone();
            world.sign(&keys, other_clock);
            world.check();
        }
    }

    #[test]
    fn instances_derive_the_same_change_at_the_same_time(
        pauses in prop::collection::vec(pause(), 1..40)
    ) {
        let schedule = schedule(Algorithm::HS256);
        let (mut keys, mut now) = (Vec::new(), START);
        for pause in pauses {
            now += pause;
            let mut other = keys.clone();
            let is_changed = schedule.advance(&mut keys, now).unwrap();
            prop_assert_eq!(schedule.advance(&mut other, now).unwrap(), is_changed);
            let times = |keys: &[StoredKey]| keys.iter().map(|key| key.active_from).collect::<Vec<_>>();
            prop_assert_eq!(times(&keys), times(&other));
            // Nothing is left to do, and nothing is until the time that is announced.
            prop_assert!(!schedule.advance(&mut keys, now).unwrap());
            let next = schedule.next_change(&keys, now);
            prop_assert!(!schedule.advance(&mut keys, next - 1).unwrap());
            prop_assert!(schedule.advance(&mut keys.clone(), next).unwrap());
            now = next - 1;
        }
    }
}

/// Keys as a document can have them, in order. The clock of the instance that wrote them can have
/// been wrong.
fn any_keys() -> impl Strategy<Value = Vec<StoredKey>> {
    let instant = prop_oneof![
        Just(0),
        START - 200 * DAY..START + 200 * DAY,
        MAX_INSTANT - 100 * DAY..=MAX_INSTANT,
    ];
    let algorithm = prop_oneof![Just(Algorithm::HS256), Just(Algorithm::HS512)];
    let keys = prop::collection::vec((instant, algorithm), 0..=MAX_KEYS);
    keys.prop_map(|mut keys| {
        keys.sort_by_key(|(instant, _)| *instant);
        let generate = |(from, algorithm)| StoredKey::generate(algorithm, START, from).unwrap();
        keys.into_iter().map(generate).collect()
    })
}

proptest! {
    #[test]
    fn changed_document_can_be_read_again(mut keys in any_keys(), index: prop::sample::Index) {
        let schedule = schedule(Algorithm::HS256);
        for action in 0..4 {
            // A rotation is an error if there are too many keys.
            let _ = match action {
                0 => schedule.change_algorithm(&mut keys, START),
                1 => schedule.advance(&mut keys, START),
                2 => schedule.rotate(&mut keys, START).map(|()| true),
                _ => {
                    let id = index.get(&keys).id.clone();
                    schedule.remove(&mut keys, &id, START)
                }
            };
            let mut document = KeyDocument::empty();
            document.signing.clone_from(&keys);
            let json = document.to_json().unwrap();
            prop_assert_eq!(KeyDocument::parse(&json).ok(), Some(document), "action {}", action);
        }
    }
}

#[test]
fn first_start_creates_an_active_key_and_its_successor() {
    let (schedule, mut keys) = (schedule(Algorithm::EdDSA), Vec::new());
    assert!(schedule.advance(&mut keys, START).unwrap());
    let times: Vec<_> = keys.iter().map(|key| (key.created_at, key.active_from)).collect();
    assert_eq!(times, [(START, START), (START, START + 90 * DAY)]);
    // The successor becomes active without a write, and is then followed by another one.
    let next = START + 90 * DAY;
    assert_eq!(active(&keys, next - 1).id, keys[0].id);
    assert_eq!(active(&keys, next).id, keys[1].id);
    assert!(schedule.advance(&mut keys, next).unwrap());
    assert_eq!(keys[2].active_from, START + 180 * DAY);
    assert!(!schedule.advance(&mut keys, next + LIFETIME + LEEWAY + 179).unwrap());
    assert_eq!(keys.len(), 3);
    assert!(schedule.advance(&mut keys, next + LIFETIME + LEEWAY + 180).unwrap());
    assert_eq!(keys.len(), 2);
}

#[test]
fn service_that_was_stopped_for_a_year_publishes_the_next_key_ahead() {
    let (schedule, mut keys) = (schedule(Algorithm::EdDSA), Vec::new());
    schedule.advance(&mut keys, START).unwrap();
    let successor = keys[1].id.clone();
    let later = START + 365 * DAY;
    schedule.advance(&mut keys, later).unwrap();
    assert_eq!(active(&keys, later).id, successor);
    assert_eq!(keys.last().unwrap().active_from, later + DAY);
}

#[test]
fn mac_keys_of_long_logins_are_bounded() {
    let year = 365 * DAY;
    let hour = Duration::from_secs(HOUR);
    let schedule = KeySchedule::new(Algorithm::HS256, hour, hour, year + 60);
    let (mut keys, mut now) = (Vec::new(), START);
    for _ in 0..2_000 {
        schedule.advance(&mut keys, now).unwrap();
        now = schedule.next_change(&keys, now);
        assert!(keys.len() <= 12, "{}", keys.len());
    }
    assert!(now > START + 5 * year && keys.len() > 8);
}

#[test]
fn other_algorithm_replaces_a_successor_that_nobody_has_used() {
    let (eddsa, es256) = (schedule(Algorithm::EdDSA), schedule(Algorithm::ES256));
    let mut keys = Vec::new();
    eddsa.advance(&mut keys, START).unwrap();
    let before = keys.clone();
    assert!(es256.change_algorithm(&mut keys, START + DAY).unwrap());
    assert_eq!(keys[0], before[0]);
    assert_eq!((keys.len(), keys[1].algorithm), (2, Algorithm::ES256));
    assert_eq!(keys[1].active_from, START + 2 * DAY);
    assert!(!es256.change_algorithm(&mut keys, START + DAY).unwrap());

    // A successor that another instance may use already is kept.
    let mut keys = before;
    let soon = START + 90 * DAY - 30;
    assert!(es256.change_algorithm(&mut keys, soon).unwrap());
    let algorithms: Vec<_> = keys.iter().map(|key| key.algorithm).collect();
    assert_eq!(algorithms, [Algorithm::EdDSA, Algorithm::EdDSA, Algorithm::ES256]);
    assert_eq!(keys[2].active_from, soon + DAY);
}

#[test]
fn removed_active_key_is_replaced_by_its_successor_at_once() {
    let (schedule, mut keys) = (schedule(Algorithm::HS256), Vec::new());
    schedule.advance(&mut keys, START).unwrap();
    let [leaked, successor] = [0, 1].map(|index| keys[index].id.clone());
    assert!(schedule.remove(&mut keys, &leaked, START + HOUR).unwrap());
    assert_eq!(active(&keys, START + HOUR).id, successor);
    assert_eq!((keys.len(), keys[1].active_from), (2, START + HOUR + 90 * DAY));
    assert!(!schedule.remove(&mut keys, &leaked, START + HOUR).unwrap());
}

#[test]
fn rotation_is_rejected_when_there_are_too_many_keys() {
    let (schedule, mut keys) = (schedule(Algorithm::HS256), Vec::new());
    let rotations = (0..40).filter(|_| schedule.rotate(&mut keys, START).is_ok()).count();
    assert_eq!((rotations, keys.len()), (MAX_KEYS - 2, MAX_KEYS));
    // The keys are dropped in time, and then it works again.
    let later = START + LIFETIME + LEEWAY + RETAIN_MARGIN;
    assert!(schedule.rotate(&mut keys, later).is_ok());
    assert!(keys.len() <= 4);
}
