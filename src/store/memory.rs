use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;

use super::{
    error::{StoreError, StoreErrorKind},
    key::StoreKey,
    store::{Store, StoreFuture},
    ttl::Ttl,
};
use crate::clock::{Clock, SystemClock};

/// Keeps records in the memory of this process.
///
/// Clones share the records.
#[derive(Clone)]
pub struct Memory(Arc<State>);

struct State {
    clock: Box<dyn Clock>,
    records: Mutex<HashMap<StoreKey, Stored>>,
}

struct Stored {
    value: Bytes,
    expires_at: SystemTime,
}

impl Memory {
    /// Creates an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(SystemClock)
    }

    /// Creates an empty store with a clock, for example a mock clock in tests.
    #[must_use]
    pub fn with_clock(clock: impl Clock) -> Self {
        Self(Arc::new(State { clock: Box::new(clock), records: Mutex::default() }))
    }

    fn records(&self) -> MutexGuard<'_, HashMap<StoreKey, Stored>> {
        self.0.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn expiry(&self, ttl: Ttl) -> SystemTime {
        let now = self.0.clock.now();
        now.checked_add(ttl.as_duration()).unwrap_or(now)
    }

    fn live<'a>(
        &self,
        records: &'a HashMap<StoreKey, Stored>,
        key: &StoreKey,
    ) -> Option<&'a Bytes> {
        let stored = records.get(key)?;
        (self.0.clock.now() < stored.expires_at).then_some(&stored.value)
    }
}

impl Store for Memory {
    fn get(&self, keys: &[StoreKey]) -> StoreFuture<Vec<Option<Bytes>>> {
        let records = self.records();
        let found = keys.iter().map(|key| self.live(&records, key).cloned()).collect();
        StoreFuture::ready(Ok(found))
    }

    fn put(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<()> {
        let expires_at = self.expiry(ttl);
        self.records().insert(*key, Stored { value, expires_at });
        StoreFuture::ready(Ok(()))
    }

    fn insert(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        let mut records = self.records();
        let is_absent = self.live(&records, key).is_none();
        if is_absent {
            records.insert(*key, Stored { value, expires_at: self.expiry(ttl) });
        }
        StoreFuture::ready(Ok(is_absent))
    }

    fn replace(&self, key: &StoreKey, current: Bytes, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        let mut records = self.records();
        let is_current = self.live(&records, key).is_some_and(|found| *found == current);
        if is_current {
            records.insert(*key, Stored { value, expires_at: self.expiry(ttl) });
        }
        StoreFuture::ready(Ok(is_current))
    }

    fn add(&self, keys: &[StoreKey], delta: i64, ttl: Ttl) -> StoreFuture<Vec<i64>> {
        let now = self.0.clock.now();
        let mut records = self.records();
        let mut add = |key: &StoreKey| -> Result<i64, StoreError> {
            let unreadable = || StoreError::new(StoreErrorKind::Unreadable);
            let stored = match records.entry(*key) {
                Entry::Occupied(entry) if now < entry.get().expires_at => entry.into_mut(),
                entry => {
                    let zero =
                        Stored { value: Bytes::from_static(b"0"), expires_at: self.expiry(ttl) };
                    entry.insert_entry(zero).into_mut()
                }
            };
            let text = std::str::from_utf8(&stored.value).map_err(|_| unreadable())?;
            let count: i64 = text.parse().map_err(|_| unreadable())?;
            let count = count.checked_add(delta).ok_or_else(unreadable)?;
            stored.value = count.to_string().into();
            Ok(count)
        };
        StoreFuture::ready(keys.iter().map(&mut add).collect::<Result<Vec<i64>, StoreError>>())
    }

    fn take(&self, key: &StoreKey) -> StoreFuture<Option<Bytes>> {
        let now = self.0.clock.now();
        let stored = self.records().remove(key).filter(|stored| now < stored.expires_at);
        StoreFuture::ready(Ok(stored.map(|stored| stored.value)))
    }

    fn now(&self) -> StoreFuture<SystemTime> {
        StoreFuture::ready(Ok(self.0.clock.now().max(UNIX_EPOCH)))
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}
