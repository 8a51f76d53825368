//! Sealed records in hostile stores, and rotations of the secret.

use std::{
    sync::{Arc, Barrier},
    time::Duration,
};

use bytes::Bytes;

use super::{
    error::StoreErrorKind,
    key::{Purpose, StoreKey},
    memory::memory::Memory,
    record::RecordKey,
    sealed_store::SealedStore,
    secret::StoreSecret,
    store::{Store, StoreFuture},
    ttl::Ttl,
};

const OLD: [u8; 32] = *b"0123456789abcdefghijklmnopqrstuv";
const NEW: [u8; 32] = *b"vutsrqponmlkjihgfedcba9876543210";
const OTHER: [u8; 32] = *b"another key of 32 bytes, another";

fn ttl() -> Ttl {
    Ttl::new(Duration::from_secs(60))
}

fn secret(current: [u8; 32], previous: Option<[u8; 32]>) -> StoreSecret {
    let secret = StoreSecret::new(current).unwrap();
    match previous {
        Some(previous) => secret.previous(previous).unwrap(),
        None => secret,
    }
}

fn sealed(memory: &Memory, current: [u8; 32], previous: Option<[u8; 32]>) -> SealedStore {
    SealedStore::new(memory.clone(), secret(current, previous))
}

/// A secret in each step of a rotation from `OLD` to `NEW`.
fn steps(memory: &Memory) -> [SealedStore; 4] {
    [(OLD, None), (OLD, Some(NEW)), (NEW, Some(OLD)), (NEW, None)]
        .map(|(current, previous)| sealed(memory, current, previous))
}

fn ready<T>(future: StoreFuture<T>) -> Result<T, StoreErrorKind> {
    future.into_ready().expect("memory is ready").map_err(|error| error.kind())
}

fn key(store: &SealedStore, name: &str) -> RecordKey {
    store.key(Purpose::Revocation, "kind", &[name.as_bytes()])
}

fn read(store: &SealedStore, key: RecordKey) -> Result<Vec<Bytes>, StoreErrorKind> {
    let found = ready(store.get(&[key]))?;
    Ok(found.into_iter().flatten().map(|record| record.value).collect())
}

/// Returns the value as it is stored.
fn stored(memory: &Memory, key: &StoreKey) -> Bytes {
    ready(memory.get(&[*key])).unwrap()[0].clone().unwrap()
}

#[test]
fn value_under_another_key_is_unreadable() {
    let memory = Memory::new();
    let store = sealed(&memory, OLD, None);
    let [alice, bob] = ["alice", "bob"].map(|name| key(&store, name));
    ready(store.put(&alice, b"admin", ttl())).unwrap();
    let value = stored(&memory, &alice.current);
    assert_eq!(read(&store, alice).unwrap(), ["admin"]);

    ready(memory.put(&bob.current, value.clone(), ttl())).unwrap();
    assert_eq!(read(&store, bob), Err(StoreErrorKind::Unreadable));
    // One unreadable record is enough.
    assert_eq!(ready(store.get(&[alice, bob])).err(), Some(StoreErrorKind::Unreadable));

    // The same bytes, but another purpose.
    let replay = StoreKey::new(Purpose::Replay, *alice.current.as_bytes());
    ready(memory.put(&replay, value, ttl())).unwrap();
    let replay = RecordKey { current: replay, ..alice };
    assert_eq!(read(&store, replay), Err(StoreErrorKind::Unreadable));
}

#[test]
fn changed_value_is_unreadable() {
    let memory = Memory::new();
    let store = sealed(&memory, OLD, None);
    let alice = key(&store, "alice");
    ready(store.put(&alice, b"value", ttl())).unwrap();
    let value = stored(&memory, &alice.current);
    let write = |bytes: Vec<u8>| {
        ready(memory.put(&alice.current, bytes.into(), ttl())).unwrap();
        read(&store, alice)
    };
    for length in 0..value.len() {
        assert_eq!(write(value[..length].to_vec()), Err(StoreErrorKind::Unreadable), "{length}");
    }
    for index in 0..value.len() {
        let mut changed = value.to_vec();
        changed[index] ^= 1;
        assert_eq!(write(changed), Err(StoreErrorKind::Unreadable), "{index}");
    }
    assert_eq!(write([&value[..], b"\0"].concat()), Err(StoreErrorKind::Unreadable));
    assert_eq!(write(vec![0; 4 << 20]), Err(StoreErrorKind::Unreadable));
    assert_eq!(write(value.to_vec()).unwrap(), ["value"]);
}

#[test]
fn value_of_another_secret_is_unreadable() {
    let memory = Memory::new();
    let [one, other] = [OLD, OTHER].map(|secret| sealed(&memory, secret, None));
    let alice = key(&one, "alice");
    ready(other.put(&alice, b"value", ttl())).unwrap();
    assert_eq!(read(&one, alice), Err(StoreErrorKind::Unreadable));
    // The names differ, too, so normally nothing is found.
    assert_ne!(alice.current, key(&other, "alice").current);
}

/// Otherwise, an observer of the store could tell which records have equal values.
#[test]
fn equal_values_look_different() {
    let memory = Memory::new();
    let store = sealed(&memory, OLD, None);
    let alice = key(&store, "alice");
    let values = [0; 2].map(|_| {
        ready(store.put(&alice, b"value", ttl())).unwrap();
        stored(&memory, &alice.current)
    });
    assert_ne!(values[0], values[1]);
}

#[test]
fn records_are_read_in_the_next_step_of_a_rotation() {
    let memory = Memory::new();
    let steps = steps(&memory);
    for (number, pair) in steps.windows(2).enumerate() {
        for (writer, reader) in [(0, 1), (1, 0)] {
            let name = format!("record {number} of {writer}");
            let (writer, reader) = (&pair[writer], &pair[reader]);
            ready(writer.put(&key(writer, &name), b"value", ttl())).unwrap();
            assert_eq!(read(reader, key(reader, &name)).unwrap(), ["value"], "{number}");
        }
    }
    // A record that was read under its previous name can be replaced.
    let [old, both, new, _] = &steps;
    ready(old.put(&key(old, "replaced"), b"1", ttl())).unwrap();
    let record = ready(new.get(&[key(new, "replaced")])).unwrap().remove(0).remove(0);
    assert_eq!(ready(new.replace(&record, b"2", ttl())), Ok(true));
    assert_eq!(ready(new.replace(&record, b"3", ttl())), Ok(false));
    assert_eq!(read(both, key(both, "replaced")).unwrap(), ["2"]);
    // Two records of one key: that of the current secret is the first.
    ready(new.put(&key(new, "replaced"), b"4", ttl())).unwrap();
    assert_eq!(read(new, key(new, "replaced")).unwrap(), ["4", "2"]);
    assert_eq!(read(both, key(both, "replaced")).unwrap(), ["2", "4"]);
}

#[test]
fn insert_during_a_rotation_has_one_winner() {
    const CALLERS: usize = 64;
    let memory = Memory::new();
    let steps = steps(&memory);
    for round in 0..40 {
        let name = format!("round {round}");
        let pair = &steps[round % 3..round % 3 + 2];
        let barrier = Barrier::new(CALLERS);
        let winners: usize = std::thread::scope(|scope| {
            let callers: Vec<_> = (0..CALLERS)
                .map(|caller| {
                    let (store, barrier, name) = (&pair[caller % 2], &barrier, &name);
                    scope.spawn(move || {
                        barrier.wait();
                        ready(store.insert(&key(store, name), b"", ttl())).unwrap()
                    })
                })
                .collect();
            callers.into_iter().map(|caller| usize::from(caller.join().unwrap())).sum()
        });
        assert_eq!(winners, 1, "round {round}");
        // Nobody wins later, in the same steps.
        for store in pair {
            assert_eq!(ready(store.insert(&key(store, &name), b"", ttl())), Ok(false));
        }
    }
}

/// An identifier that was used before the rotation stays used.
#[test]
fn insert_after_the_first_steps_finds_earlier_records() {
    let memory = Memory::new();
    let steps = steps(&memory);
    for round in 0..20 {
        for (before, after) in [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)] {
            let name = format!("{round} {before} {after}");
            let (before, after) = (&steps[before], &steps[after]);
            assert_eq!(ready(before.insert(&key(before, &name), b"", ttl())), Ok(true));
            assert_eq!(ready(after.insert(&key(after, &name), b"", ttl())), Ok(false), "{name}");
        }
    }
}

/// A store that returns fewer values than it has to.
struct Short(Memory);

impl Store for Short {
    fn get(&self, keys: &[StoreKey]) -> StoreFuture<Vec<Option<Bytes>>> {
        self.0.get(&keys[1..])
    }
    fn put(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<()> {
        self.0.put(key, value, ttl)
    }
    fn insert(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        self.0.insert(key, value, ttl)
    }
    fn replace(&self, key: &StoreKey, current: Bytes, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        self.0.replace(key, current, value, ttl)
    }
    fn add(&self, keys: &[StoreKey], delta: i64, ttl: Ttl) -> StoreFuture<Vec<i64>> {
        self.0.add(&keys[1..], delta, ttl)
    }
    fn take(&self, key: &StoreKey) -> StoreFuture<Option<Bytes>> {
        self.0.take(key)
    }
    fn now(&self) -> StoreFuture<std::time::SystemTime> {
        self.0.now()
    }
}

#[test]
fn store_that_returns_too_few_values_is_unreadable() {
    let store = SealedStore::new(Arc::new(Short(Memory::new())), secret(OLD, None));
    let keys = ["a", "b"].map(|name| key(&store, name));
    assert_eq!(ready(store.get(&keys)).err(), Some(StoreErrorKind::Unreadable));
    assert_eq!(ready(store.add(&keys, 1, ttl())), Err(StoreErrorKind::Unreadable));
}

#[test]
fn debug_text_reveals_neither_keys_nor_values() {
    let secret = secret(OLD, Some(NEW));
    assert_eq!(format!("{secret:?}"), "StoreSecret { .. }");
    let store = SealedStore::new(Memory::new(), secret);
    assert_eq!(format!("{store:?}"), "SealedStore { .. }");
    let alice = key(&store, "alice");
    assert!(!format!("{alice:?}").contains("alice"));
}

#[test]
fn obviously_bad_keys_are_errors() {
    for key in [[0; 32], [0xff; 32], [7; 32]] {
        let error = StoreSecret::new(key).unwrap_err();
        assert!(error.to_string().contains("openssl rand -base64 32"), "{error}");
        assert!(secret(OLD, None).previous(key).is_err());
    }
    let error = secret(OLD, None).previous(OLD).unwrap_err();
    assert_eq!(error.kind(), crate::config_error::ConfigErrorKind::Conflict);
}
