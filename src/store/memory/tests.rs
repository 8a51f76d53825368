//! What happens if the space is used up. `StoreSuite` tests the operations.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use bytes::Bytes;

use super::memory::Memory;
use crate::{
    clock::Clock,
    config_error::ConfigErrorKind,
    observe::event::Event,
    store::{
        error::StoreErrorKind,
        key::{GroupKind, Groups, Purpose, StoreKey},
        store::{Store, StoreFuture},
        ttl::Ttl,
    },
    test_util::clock::TestClock,
};

const MIB: usize = 1 << 20;
const VALUE: Bytes = Bytes::from_static(b"a sealed value");

fn ttl(seconds: u64) -> Ttl {
    Ttl::new(Duration::from_secs(seconds))
}

fn small(clock: &TestClock) -> Memory {
    let builder = Memory::builder().clock(clock.clone());
    Purpose::ALL
        .into_iter()
        .fold(builder, |builder, purpose| builder.max_bytes(purpose, MIB))
        .build()
        .unwrap()
}

fn ready<T>(future: StoreFuture<T>) -> Result<T, StoreErrorKind> {
    future.into_ready().expect("memory is ready").map_err(|error| error.kind())
}

fn key(purpose: Purpose, number: usize) -> StoreKey {
    let mut bytes = [0; 32];
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &number.to_be_bytes());
    bytes.copy_from_slice(hash.as_ref());
    StoreKey::new(purpose, bytes)
}

/// The key of the revocation of a token.
fn fine(number: usize, subject: u64, issuer: u64) -> StoreKey {
    let groups =
        Groups { subject: Some(subject), issuer: Some(issuer), instant: 1, ..Groups::default() };
    key(Purpose::Revocation, number).in_groups(groups)
}

/// The key of the record of a whole group.
fn coarse(number: usize, kind: GroupKind, subject: u64, issuer: u64, instant: u64) -> StoreKey {
    let subject = (kind == GroupKind::Subject).then_some(subject);
    let groups = Groups { subject, issuer: Some(issuer), replaces: Some(kind), instant };
    key(Purpose::Revocation, number).in_groups(groups)
}

fn put(memory: &Memory, key: &StoreKey) -> Result<(), StoreErrorKind> {
    ready(memory.put(key, VALUE, ttl(1_000)))
}

fn exists(memory: &Memory, key: &StoreKey) -> bool {
    ready(memory.get(&[*key])).unwrap()[0].is_some()
}

/// Writes records until the store is full, and returns their keys.
fn fill(memory: &Memory, keys: impl Iterator<Item = StoreKey>) -> Vec<StoreKey> {
    let written: Vec<_> = keys.take_while(|key| put(memory, key).is_ok()).collect();
    assert!(written.len() > 1_000, "{}", written.len());
    written
}

#[test]
fn full_replay_table_rejects_new_records_and_keeps_all() {
    let memory = small(&TestClock::new());
    let written = fill(&memory, (0..).map(|number| key(Purpose::Replay, number)));
    let next = key(Purpose::Replay, written.len());
    assert_eq!(ready(memory.insert(&next, VALUE, ttl(1))), Err(StoreErrorKind::Full));
    assert!(written.iter().all(|key| exists(&memory, key)));
    // A record that exists can be replaced, but not by a much larger one.
    assert_eq!(put(&memory, &written[0]), Ok(()));
    let large = Bytes::from(vec![0; 1_000]);
    assert_eq!(ready(memory.put(&written[0], large, ttl(1))), Err(StoreErrorKind::Full));
    assert!(exists(&memory, &written[0]));
    ready(memory.take(&written[0])).unwrap();
    assert_eq!(put(&memory, &next), Ok(()));
    // Other purposes have their own space.
    assert_eq!(put(&memory, &key(Purpose::Throttle, 0)), Ok(()));
}

#[test]
fn full_throttle_table_removes_expired_windows() {
    let clock = TestClock::new();
    let memory = small(&clock);
    let add =
        |number, seconds| ready(memory.add(&[key(Purpose::Throttle, number)], 1, ttl(seconds)));
    // The last windows end first.
    let count = (0..).take_while(|number| add(*number, 60).is_ok()).count();
    assert!(count > 5_000, "{count}");
    assert_eq!(add(count, 60), Err(StoreErrorKind::Full));
    assert_eq!(add(0, 60), Ok(vec![2]));
    clock.advance(Duration::from_secs(60));
    assert!((count..2 * count).all(|number| add(number, 60) == Ok(vec![1])));
    assert_eq!(add(0, 60), Err(StoreErrorKind::Full));
}

#[test]
fn failed_add_of_several_keys_changes_none() {
    let clock = TestClock::new();
    let memory = small(&clock);
    let counter = |number| key(Purpose::Throttle, number);
    let count = (0..).take_while(|n| ready(memory.add(&[counter(*n)], 1, ttl(9))).is_ok()).count();
    let result = memory.add(&[counter(0), counter(1), counter(count)], 5, ttl(9));
    assert_eq!(ready(result), Err(StoreErrorKind::Full));
    assert_eq!(ready(memory.add(&[counter(0), counter(1)], 1, ttl(9))), Ok(vec![2, 2]));
}

#[test]
fn expired_records_do_not_accumulate() {
    let clock = TestClock::new();
    let memory = small(&clock);
    let records = |memory: &Memory| memory.used(Purpose::Replay) / 200;
    for number in 0..20_000 {
        ready(memory.put(&key(Purpose::Replay, number), VALUE, ttl(1))).unwrap();
        clock.advance(Duration::from_millis(10));
    }
    // 100 records are valid.
    assert!((100..400).contains(&records(&memory)), "{}", records(&memory));
}

#[test]
fn fine_records_leave_space_for_coarser_ones() {
    let clock = TestClock::new();
    let memory = small(&clock);
    let fines = fill(&memory, (0..).map(|number| fine(number, number as u64 + 1, 1)));
    assert_eq!(put(&memory, &fines[0]), Ok(()));
    assert_eq!(put(&memory, &fine(fines.len(), 1, 1)), Err(StoreErrorKind::Full));
    // Nothing is replaced, because these subjects have no records.
    let numbers = 100_000..;
    let subject = |number| coarse(number, GroupKind::Subject, number as u64, 1, 9);
    let subjects = numbers.map(subject).take_while(|key| put(&memory, key).is_ok()).count();
    let share = subjects as f64 / fines.len() as f64;
    assert!((0.04..0.07).contains(&share), "{share}");
    assert_eq!(put(&memory, &subject(100_000)), Ok(()));
    // A subject of another issuer does not pay for the first one.
    let other = coarse(200_000, GroupKind::Subject, 7, 2, 9);
    assert_eq!(put(&memory, &other), Ok(()));
    assert!(fines.iter().all(|key| exists(&memory, key)));
    // The epoch.
    assert_eq!(put(&memory, &key(Purpose::Revocation, 300_000)), Ok(()));

    let issuer = coarse(400_000, GroupKind::Issuer, 0, 1, 9);
    assert_eq!(put(&memory, &issuer), Ok(()));
    assert!(!fines.iter().any(|key| exists(&memory, key)));
    assert!(exists(&memory, &issuer) && exists(&memory, &other));
    assert!(exists(&memory, &key(Purpose::Revocation, 300_000)));
    assert_eq!(put(&memory, &fines[0]), Ok(()));
}

#[test]
fn record_of_a_subject_replaces_only_what_it_covers() {
    let clock = TestClock::new();
    let memory = small(&clock);
    let later = fine(900_000, 7, 1);
    let later = later.in_groups(Groups { instant: 10, ..later.groups });
    let of_other = fine(900_001, 8, 1);
    put(&memory, &later).unwrap();
    put(&memory, &of_other).unwrap();
    let fines = fill(&memory, (0..).map(|number| fine(number, 7, 1)));
    let subject = coarse(500_000, GroupKind::Subject, 7, 1, 9);
    put(&memory, &subject).unwrap();
    assert!(!fines.iter().any(|key| exists(&memory, key)));
    // The coarser record rejects tokens until its instant only.
    assert!([subject, later, of_other].iter().all(|key| exists(&memory, key)));
}

#[test]
fn record_that_was_raised_is_not_replaced_by_an_earlier_one() {
    let memory = small(&TestClock::new());
    let raised = fine(900_000, 7, 1);
    let at = |instant| raised.in_groups(Groups { instant, ..raised.groups });
    put(&memory, &at(10)).unwrap();
    put(&memory, &at(5)).unwrap();
    fill(&memory, (0..).map(|number| fine(number, 7, 1)));
    put(&memory, &coarse(500_000, GroupKind::Subject, 7, 1, 9)).unwrap();
    assert!(exists(&memory, &raised));
}

#[test]
fn coarse_records_remove_nothing_while_there_is_space() {
    let memory = small(&TestClock::new());
    let fines: Vec<_> = (0..100).map(|number| fine(number, 7, 1)).collect();
    fines.iter().for_each(|key| put(&memory, key).unwrap());
    put(&memory, &coarse(500_000, GroupKind::Subject, 7, 1, 9)).unwrap();
    put(&memory, &coarse(500_001, GroupKind::Issuer, 0, 1, 9)).unwrap();
    assert!(fines.iter().all(|key| exists(&memory, key)));
}

/// A flood of logouts of different subjects must not scan the store for each.
#[test]
fn groups_are_searched_once_a_second() {
    let clock = TestClock::new();
    let memory = small(&clock);
    let fines = fill(&memory, (0..).map(|number| fine(number, number as u64 % 3 + 1, 1)));
    let subject =
        |subject: usize| coarse(500_000 + subject, GroupKind::Subject, subject as u64, 1, 9);
    let left = |subject: usize| {
        fines.iter().skip(subject - 1).step_by(3).filter(|key| exists(&memory, key)).count()
    };
    put(&memory, &subject(1)).unwrap();
    assert_eq!(left(1), 0);
    // Above the limit again, but too early for another search.
    let more = fill(&memory, (1_000_000..).map(|number| fine(number, 9, 1)));
    put(&memory, &subject(2)).unwrap();
    assert_ne!(left(2), 0);
    clock.advance(Duration::from_secs(5));
    put(&memory, &subject(2)).unwrap();
    assert_eq!(left(2), 0);
    assert_ne!(left(3), 0);
    assert!(more.iter().all(|key| exists(&memory, key)));
}

#[test]
fn nearly_full_store_is_reported_once_until_it_is_less_full() {
    let reports = Arc::new(Mutex::new(0));
    let observer = {
        let reports = reports.clone();
        move |event: &Event<'_>| {
            if let Event::StoreNearlyFull { purpose } = event {
                assert_eq!(*purpose, Purpose::Replay);
                *reports.lock().unwrap() += 1;
            }
        }
    };
    let clock = TestClock::new();
    let builder = Memory::builder().clock(clock.clone()).observer(observer);
    let memory = builder.max_bytes(Purpose::Replay, MIB).build().unwrap();
    let reports = || *reports.lock().unwrap();
    let keys: Vec<_> = (0..5_000).map(|number| key(Purpose::Replay, number)).collect();
    let resize_to = |percent: usize| {
        for key in &keys {
            let target = MIB / 100 * percent;
            if memory.used(Purpose::Replay) + 200 > target {
                ready(memory.take(key)).unwrap();
            }
        }
        for key in &keys {
            if memory.used(Purpose::Replay) + 200 < MIB / 100 * percent {
                put(&memory, key).unwrap();
            }
        }
    };
    resize_to(79);
    assert_eq!(reports(), 0);
    resize_to(82);
    assert_eq!(reports(), 1);
    clock.advance(Duration::from_secs(60));
    resize_to(75);
    resize_to(82);
    assert_eq!(reports(), 1);
    resize_to(65);
    resize_to(82);
    assert_eq!(reports(), 2);
    // At most once a minute.
    resize_to(65);
    resize_to(82);
    assert_eq!(reports(), 2);
    clock.advance(Duration::from_secs(60));
    put(&memory, &keys[0]).unwrap();
    assert_eq!(reports(), 3);
}

/// A clock whose wall-clock time can be set, while monotonic time continues.
#[derive(Clone)]
struct AdjustedClock {
    wall: TestClock,
    monotonic: TestClock,
}

impl Clock for AdjustedClock {
    fn now(&self) -> SystemTime {
        self.wall.now()
    }

    fn elapsed(&self) -> Duration {
        self.monotonic.elapsed()
    }
}

#[test]
fn wall_clock_that_is_set_does_not_change_lifetimes() {
    let clock = AdjustedClock { wall: TestClock::new(), monotonic: TestClock::new() };
    let memory = Memory::with_clock(clock.clone());
    let key = key(Purpose::Replay, 1);
    ready(memory.put(&key, VALUE, ttl(60))).unwrap();
    clock.wall.advance(Duration::from_secs(3_600));
    clock.monotonic.advance(Duration::from_secs(59));
    assert!(exists(&memory, &key));
    clock.wall.set(SystemTime::UNIX_EPOCH);
    clock.monotonic.advance(Duration::from_secs(1));
    assert!(!exists(&memory, &key));
}

#[test]
fn limit_below_a_mebibyte_is_an_error() {
    for purpose in Purpose::ALL {
        let error = Memory::builder().max_bytes(purpose, MIB - 1).build().unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::Invalid);
        assert!(error.to_string().contains("1048576"), "{error}");
    }
}

/// Otherwise, the store would become full over time, or would exceed its limit.
#[test]
fn used_bytes_are_those_of_the_records() {
    let clock = TestClock::new();
    let memory = small(&clock);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (memory, clock) = (&memory, &clock);
            scope.spawn(move || {
                for step in 0..5_000_usize {
                    let number = (step * 7 + thread * 13) % 500;
                    let key = key(Purpose::Replay, number);
                    let value = Bytes::from(vec![b'1'; step % 90]);
                    let ttl = ttl(1 + step as u64 % 5);
                    match step % 5 {
                        0 => drop(ready(memory.put(&key, value, ttl))),
                        1 => drop(ready(memory.insert(&key, value, ttl))),
                        2 => drop(ready(memory.take(&key))),
                        3 => drop(ready(memory.replace(&key, value.clone(), value, ttl))),
                        _ => drop(ready(memory.add(&[key], 1, ttl))),
                    }
                    clock.advance(Duration::from_millis(7));
                }
            });
        }
    });
    assert!(memory.used(Purpose::Replay) > 0);
    for number in 0..500 {
        ready(memory.take(&key(Purpose::Replay, number))).unwrap();
    }
    assert_eq!(memory.used(Purpose::Replay), 0);
}
