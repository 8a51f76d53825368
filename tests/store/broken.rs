//! The suite for stores finds stores that violate a rule.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::time::sleep;
use tower_auth::{
    clock::Clock,
    store::{Memory, Purpose, Store, StoreError, StoreErrorKind, StoreFuture, StoreKey, Ttl},
    test_util::{StoreSuite, TestClock},
};

/// Widens a race, so that it shows whatever the threads do.
async fn let_others_run() {
    sleep(Duration::from_millis(1)).await;
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    InsertChecksThenWrites,
    ReplaceChecksThenWrites,
    AddReadsThenWrites,
    TakeReadsThenDeletes,
    TakeKeeps,
    LifetimeInWholeSeconds,
    LifetimeRoundedToSeconds,
    PutKeepsLifetime,
    AddRenewsLifetime,
    InsertFindsExpired,
    GetWithoutDuplicates,
    GetWithoutMissing,
    TextOnly,
    ShortValuesOnly,
    PutDeletesFirst,
    MissingEqualsEmpty,
    IgnoresCase,
    AddWraps,
    TextIsZero,
    ClockStands,
    NowIsNeverReady,
    IgnoresPurpose,
    ResendsAdd,
    ResendsInsert,
    UnknownIsFull,
    NeverReconnects,
}

#[derive(Clone)]
struct Broken {
    memory: Memory,
    clock: TestClock,
    fault: Fault,
    expiries: Arc<Mutex<HashMap<StoreKey, SystemTime>>>,
    inserted: Arc<Mutex<HashSet<StoreKey>>>,
    is_disconnected: Arc<AtomicBool>,
    was_disconnected: Arc<AtomicBool>,
}

impl Broken {
    fn new(fault: Fault) -> Self {
        let clock = TestClock::new();
        Self {
            memory: Memory::with_clock(clock.clone()),
            clock,
            fault,
            expiries: Arc::default(),
            inserted: Arc::default(),
            is_disconnected: Arc::default(),
            was_disconnected: Arc::default(),
        }
    }

    fn key(&self, key: &StoreKey) -> StoreKey {
        match self.fault {
            Fault::IgnoresPurpose => StoreKey::new(Purpose::Revocation, *key.as_bytes()),
            _ => *key,
        }
    }

    fn ttl(&self, key: &StoreKey, ttl: Ttl) -> Ttl {
        let (millis, now) = (ttl.as_millis(), self.clock.now());
        let duration = Duration::from_millis(match self.fault {
            Fault::LifetimeInWholeSeconds => millis / 1_000 * 1_000,
            Fault::LifetimeRoundedToSeconds => millis.div_ceil(1_000) * 1_000,
            _ => millis,
        });
        let mut expiries = self.expiries.lock().unwrap();
        let expiry = expiries.entry(*key).or_insert(now + duration);
        if self.fault != Fault::PutKeepsLifetime || *expiry <= now {
            *expiry = now + duration;
        }
        Ttl::new(expiry.duration_since(now).unwrap())
    }

    fn value(&self, value: &Bytes) -> Bytes {
        match self.fault {
            Fault::TextOnly => String::from_utf8_lossy(value).into_owned().into(),
            Fault::ShortValuesOnly => value.slice(..value.len().min(65_535)),
            _ => value.clone(),
        }
    }

    /// The outcome of an operation while the connection breaks.
    fn lose<T>(&self) -> Option<StoreFuture<T>> {
        let is_lost = self.is_disconnected.load(Ordering::SeqCst)
            || (self.fault == Fault::NeverReconnects
                && self.was_disconnected.load(Ordering::SeqCst));
        let kind = match self.fault {
            Fault::UnknownIsFull => StoreErrorKind::Full,
            _ => StoreErrorKind::Unavailable,
        };
        is_lost.then(|| StoreFuture::ready(Err(StoreError::new(kind))))
    }
}

impl Store for Broken {
    fn get(&self, keys: &[StoreKey]) -> StoreFuture<Vec<Option<Bytes>>> {
        if let Some(lost) = self.lose() {
            return lost;
        }
        let mut keys: Vec<_> = keys.iter().map(|key| self.key(key)).collect();
        if self.fault == Fault::GetWithoutDuplicates {
            let mut seen = HashSet::new();
            keys.retain(|key| seen.insert(*key));
        }
        let skips_missing = self.fault == Fault::GetWithoutMissing && keys.len() > 1;
        self.memory.get(&keys).map(move |found| {
            found.map(|mut found| {
                found.retain(|value| !skips_missing || value.is_some());
                found
            })
        })
    }

    fn put(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<()> {
        let (key, value) = (self.key(key), self.value(&value));
        let ttl = self.ttl(&key, ttl);
        if self.fault == Fault::PutDeletesFirst {
            let memory = self.memory.clone();
            return StoreFuture::pending(async move {
                memory.take(&key).await?;
                let_others_run().await;
                memory.put(&key, value, ttl).await
            });
        }
        self.memory.put(&key, value, ttl)
    }

    fn insert(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        if let Some(lost) = self.lose() {
            if self.fault == Fault::ResendsInsert {
                let again = [0; 2].map(|_| self.memory.insert(key, value.clone(), ttl));
                return again.into_iter().last().unwrap();
            }
            return lost;
        }
        let (key, value) = (self.key(key), self.value(&value));
        let memory = self.memory.clone();
        match self.fault {
            Fault::InsertChecksThenWrites => StoreFuture::pending(async move {
                if memory.get(&[key]).await?[0].is_some() {
                    return Ok(false);
                }
                let_others_run().await;
                memory.put(&key, value, ttl).await.map(|()| true)
            }),
            Fault::InsertFindsExpired if !self.inserted.lock().unwrap().insert(key) => {
                StoreFuture::ready(Ok(false))
            }
            _ if memory.get(&[key]).into_ready().unwrap().unwrap()[0].is_some() => {
                StoreFuture::ready(Ok(false))
            }
            _ => memory.insert(&key, value, self.ttl(&key, ttl)),
        }
    }

    fn replace(&self, key: &StoreKey, current: Bytes, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        let (key, value, memory) = (self.key(key), self.value(&value), self.memory.clone());
        let (current, fault) = (self.value(&current), self.fault);
        let found = memory.get(&[key]).into_ready().unwrap().unwrap().pop().unwrap();
        let is_equal = match (fault, &found) {
            (Fault::MissingEqualsEmpty, None) => current.is_empty(),
            (Fault::IgnoresCase, Some(found)) => found.eq_ignore_ascii_case(&current),
            (_, found) => found.as_ref() == Some(&current),
        };
        if !is_equal {
            return StoreFuture::ready(Ok(false));
        }
        let ttl = self.ttl(&key, ttl);
        match fault {
            Fault::ReplaceChecksThenWrites => StoreFuture::pending(async move {
                let_others_run().await;
                memory.put(&key, value, ttl).await.map(|()| true)
            }),
            Fault::MissingEqualsEmpty | Fault::IgnoresCase => {
                memory.put(&key, value, ttl).map(|result| result.map(|()| true))
            }
            _ => memory.replace(&key, current, value, ttl),
        }
    }

    fn add(&self, keys: &[StoreKey], delta: i64, ttl: Ttl) -> StoreFuture<Vec<i64>> {
        if let Some(lost) = self.lose() {
            if self.fault == Fault::ResendsAdd {
                drop(self.memory.add(keys, delta, ttl));
                return self.memory.add(keys, delta, ttl);
            }
            return lost;
        }
        let (memory, fault) = (self.memory.clone(), self.fault);
        let keys: Vec<_> = keys.iter().map(|key| self.key(key)).collect();
        let new_ttl = match keys.first() {
            Some(key) if fault != Fault::PutKeepsLifetime => self.ttl(key, ttl),
            _ => ttl,
        };
        StoreFuture::pending(async move {
            if fault == Fault::AddReadsThenWrites && keys.len() == 2 {
                let found = memory.get(&keys).await?;
                let_others_run().await;
                memory.add(&keys, delta, new_ttl).await?;
                let count = |value: Option<Bytes>| {
                    value.map_or(0, |text| String::from_utf8_lossy(&text).parse().unwrap())
                };
                return Ok(found
                    .into_iter()
                    .map(|value: Option<Bytes>| count(value) + delta)
                    .collect());
            }
            let before = memory.get(&keys).await?;
            match memory.add(&keys, delta, new_ttl).await {
                Err(error) if error.kind() == StoreErrorKind::Unreadable => {
                    let text = String::from_utf8_lossy(before[0].as_ref().unwrap()).into_owned();
                    let count = match (fault, text.parse::<i64>()) {
                        (Fault::AddWraps, Ok(count)) => count.wrapping_add(delta),
                        (Fault::TextIsZero, Err(_)) => delta,
                        _ => return Err(error),
                    };
                    memory.put(&keys[0], count.to_string().into(), ttl).await?;
                    Ok(vec![count])
                }
                Ok(counts) if fault == Fault::AddRenewsLifetime => {
                    for (key, count) in keys.iter().zip(&counts) {
                        memory.put(key, count.to_string().into(), ttl).await?;
                    }
                    Ok(counts)
                }
                result => result,
            }
        })
    }

    fn take(&self, key: &StoreKey) -> StoreFuture<Option<Bytes>> {
        let (key, memory) = (self.key(key), self.memory.clone());
        match self.fault {
            Fault::TakeKeeps => {
                memory.get(&[key]).map(|found| found.map(|mut found| found.remove(0)))
            }
            Fault::TakeReadsThenDeletes => StoreFuture::pending(async move {
                let found = memory.get(&[key]).await?.remove(0);
                let_others_run().await;
                memory.take(&key).await.map(|_| found)
            }),
            _ => memory.take(&key),
        }
    }

    fn now(&self) -> StoreFuture<SystemTime> {
        match self.fault {
            Fault::ClockStands => {
                StoreFuture::ready(Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000)))
            }
            Fault::NowIsNeverReady => {
                let memory = self.memory.clone();
                StoreFuture::pending(async move { memory.now().await })
            }
            _ => self.memory.now(),
        }
    }
}

/// Runs the suite and returns the message of its panic.
async fn run(fault: Fault) -> Option<String> {
    let store = Broken::new(fault);
    let (clock, broken) = (store.clock.clone(), store.clone());
    let suite = StoreSuite::new(store)
        .advance(move |duration| clock.advance(duration))
        .break_connection(move || {
            let broken = broken.clone();
            async move {
                broken.is_disconnected.store(true, Ordering::SeqCst);
                broken.was_disconnected.store(true, Ordering::SeqCst);
                sleep(Duration::from_millis(5)).await;
                broken.is_disconnected.store(false, Ordering::SeqCst);
            }
        });
    let panic = tokio::spawn(suite.run()).await.err()?.into_panic();
    Some(panic.downcast_ref::<String>().expect("the message has a format").clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn correct_store_passes() {
    assert_eq!(run(Fault::None).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_stores_fail_with_the_rule_that_they_violate() {
    for (fault, message) in [
        (Fault::InsertChecksThenWrites, "of insert at the same time, exactly one gets true"),
        (Fault::ReplaceChecksThenWrites, "of replace at the same time, exactly one gets true"),
        (Fault::AddReadsThenWrites, "of add at the same time, each gets another result"),
        (Fault::TakeReadsThenDeletes, "of take at the same time, exactly one gets the value"),
        (Fault::TakeKeeps, "take returns the value and removes the record"),
        (Fault::LifetimeInWholeSeconds, "a record exists until its Ttl has passed"),
        (Fault::LifetimeRoundedToSeconds, "a record does not exist after its Ttl"),
        (Fault::PutKeepsLifetime, "put also replaces the lifetime"),
        (Fault::AddRenewsLifetime, "add sets the lifetime only when it creates a counter"),
        (Fault::InsertFindsExpired, "a record does not exist after its Ttl"),
        (Fault::GetWithoutDuplicates, "get returns one value for each key, in the same order"),
        (Fault::GetWithoutMissing, "get returns one value for each key, in the same order"),
        (Fault::TextOnly, "values are any bytes, up to 1 MiB"),
        (Fault::ShortValuesOnly, "values are any bytes, up to 1 MiB"),
        (Fault::PutDeletesFirst, "put is atomic"),
        (Fault::MissingEqualsEmpty, "replace writes only if the current value is exactly"),
        (Fault::IgnoresCase, "replace writes only if the current value is exactly"),
        (Fault::AddWraps, "beyond the range of an i64, fails with Unreadable"),
        (Fault::TextIsZero, "add to a value that is not a whole number"),
        (Fault::ClockStands, "now is the time of the store's clock, which advances"),
        (Fault::NowIsNeverReady, "now is normally ready"),
        (Fault::IgnoresPurpose, "keys of different purposes are different"),
        (Fault::ResendsAdd, "an operation is not sent again"),
        (Fault::ResendsInsert, "an operation is not sent again"),
        (Fault::UnknownIsFull, "if the outcome is unknown, an operation returns Unavailable"),
        (Fault::NeverReconnects, "the store connects again after the connection broke"),
    ] {
        let panic = run(fault).await.unwrap_or_else(|| panic!("{fault:?} passed"));
        assert!(panic.contains(message), "{fault:?}: {panic}");
    }
}

#[tokio::test]
#[should_panic(expected = "flavor = \"multi_thread\"")]
async fn suite_in_a_runtime_without_threads_panics() {
    StoreSuite::new(Memory::new()).run().await;
}
