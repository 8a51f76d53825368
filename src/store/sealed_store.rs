use std::{fmt, sync::Arc, time::SystemTime};

use bytes::Bytes;

use super::{
    error::{StoreError, StoreErrorKind},
    health::StoreHealth,
    key::{Purpose, StoreKey},
    memory::memory::Memory,
    record::{Record, RecordKey, WhichSecret},
    seal::Keys,
    secret::StoreSecret,
    store::{Store, StoreFuture},
    ttl::Ttl,
};
use crate::observe::{Observe, observer::Observer};

/// A [`Store`] and the [`StoreSecret`] that protects its records.
///
/// Clones share the store.
#[derive(Clone)]
pub struct SealedStore {
    shared: Arc<Shared>,
    health: Arc<StoreHealth>,
}

struct Shared {
    store: Box<dyn Store>,
    secret: StoreSecret,
}

impl SealedStore {
    /// Protects the records of a store with a secret. All instances must use the same secret.
    #[must_use]
    pub fn new(store: impl Store + 'static, secret: StoreSecret) -> Self {
        let shared = Shared { store: Box::new(store), secret };
        Self { shared: Arc::new(shared), health: Arc::new(StoreHealth::new(Observer::default())) }
    }

    /// Keeps records in the memory of this process, with a random secret.
    #[must_use]
    pub fn memory() -> Self {
        Self::new(Memory::new(), StoreSecret::random())
    }

    /// Sets the observer of outages and of records that cannot be read or stored. The default is
    /// the [default observer](crate::observe::set_default).
    ///
    /// Clones that already exist keep their observer.
    #[must_use]
    pub fn observer(self, observer: impl Observe + 'static) -> Self {
        let observer = self.health.observer().clone().with_observer(observer);
        Self { health: Arc::new(StoreHealth::new(observer)), ..self }
    }

    /// Returns the key of a record.
    pub(crate) fn key(&self, purpose: Purpose, kind: &str, parts: &[&[u8]]) -> RecordKey {
        let secret = &self.shared.secret;
        RecordKey {
            current: secret.current.name(purpose, kind, parts),
            previous: secret.previous.as_ref().map(|keys| keys.name(purpose, kind, parts)),
            is_counter: false,
        }
    }

    /// Reads records in one round trip. During a rotation, there can be two for a key, the one of
    /// the current secret first.
    pub(crate) fn get(&self, keys: &[RecordKey]) -> StoreFuture<Vec<Vec<Record>>> {
        let keys = keys.to_vec();
        let all_names: Vec<StoreKey> =
            keys.iter().flat_map(RecordKey::names).map(|(name, _)| name).collect();
        let this = self.clone();
        let purpose = all_names.first().map(StoreKey::purpose);
        let records = self.shared.store.get(&all_names).map(move |found| {
            let found = one_for_each(all_names.len(), found)?;
            this.open_each(&keys, found)
        });
        self.observed(purpose, records)
    }

    /// Reads values as they are stored, in one round trip. See [`RecordKey::names`] for the names
    /// of records, and [`open_raw`](Self::open_raw).
    #[cfg(feature = "session")]
    pub(crate) fn get_raw(&self, names: &[StoreKey]) -> StoreFuture<Vec<Option<Bytes>>> {
        let (count, purpose) = (names.len(), names.first().map(StoreKey::purpose));
        match self.shared.store.get(names).into_ready() {
            Ok(found) => {
                let found = one_for_each(count, found);
                self.health.record(&found, purpose);
                StoreFuture::ready(found)
            }
            Err(pending) => {
                self.observed(purpose, pending.map(move |found| one_for_each(count, found)))
            }
        }
    }

    /// Opens the values of all names of these records, like [`get`](Self::get).
    #[cfg(feature = "session")]
    pub(crate) fn open_raw(
        &self,
        keys: &[RecordKey],
        found: Vec<Option<Bytes>>,
    ) -> Result<Vec<Vec<Record>>, StoreError> {
        let opened = self.open_each(keys, found);
        if opened.is_err() {
            self.health.record(&opened, keys.first().map(|key| key.current.purpose()));
        }
        opened
    }

    /// Returns whether both have the same store and secret.
    #[cfg(feature = "session")]
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    fn open_each(
        &self,
        keys: &[RecordKey],
        found: Vec<Option<Bytes>>,
    ) -> Result<Vec<Vec<Record>>, StoreError> {
        let mut found = found.into_iter();
        let mut records = |key: &RecordKey| {
            let found = key.names().zip(found.by_ref());
            let found = found.filter_map(|(name, sealed)| Some((name, sealed?)));
            found.map(|(name, sealed)| self.open(name, sealed, key.is_counter)).collect()
        };
        keys.iter().map(&mut records).collect()
    }

    /// Writes a record under the current secret.
    pub(crate) fn put(&self, key: &RecordKey, value: &[u8], ttl: Ttl) -> StoreFuture<()> {
        match self.shared.secret.current.seal(&key.current, value) {
            Ok(sealed) => {
                let purpose = Some(key.current.purpose());
                self.observed(purpose, self.shared.store.put(&key.current, sealed, ttl))
            }
            Err(error) => StoreFuture::ready(Err(error)),
        }
    }

    /// Writes a record if there is none.
    ///
    /// During a rotation, some instances write under the other name. A caller then needs both
    /// names, and all instances write them in the same order, so that one caller wins.
    pub(crate) fn insert(&self, key: &RecordKey, value: &[u8], ttl: Ttl) -> StoreFuture<bool> {
        let mut names: Vec<_> = key.names().collect();
        names.sort_by_key(|(name, _)| *name.as_bytes());
        let mut names = names.into_iter();
        let Some(first) = names.next() else { return StoreFuture::ready(Ok(false)) };
        let inserted = self.insert_under(first, value, ttl);
        let Some(second) = names.next() else { return inserted };
        match inserted.into_ready() {
            Ok(Ok(true)) => self.insert_under(second, value, ttl),
            Ok(result) => StoreFuture::ready(result),
            Err(pending) => {
                let (this, value) = (self.clone(), value.to_vec());
                StoreFuture::pending(async move {
                    match pending.await? {
                        true => this.insert_under(second, &value, ttl).await,
                        false => Ok(false),
                    }
                })
            }
        }
    }

    /// An instance that has only one of the secrets must be able to read the record.
    pub(crate) fn insert_under(
        &self,
        (name, secret): (StoreKey, WhichSecret),
        value: &[u8],
        ttl: Ttl,
    ) -> StoreFuture<bool> {
        match self.keys(secret).and_then(|keys| keys.seal(&name, value)) {
            Ok(sealed) => {
                let purpose = Some(name.purpose());
                self.observed(purpose, self.shared.store.insert(&name, sealed, ttl))
            }
            Err(error) => StoreFuture::ready(Err(error)),
        }
    }

    /// Writes a record if it is still the one that was read.
    pub(crate) fn replace(&self, read: &Record, value: &[u8], ttl: Ttl) -> StoreFuture<bool> {
        match self.keys(read.secret).and_then(|keys| keys.seal(&read.key, value)) {
            Ok(sealed) => {
                let current = read.sealed.clone();
                let replaced = self.shared.store.replace(&read.key, current, sealed, ttl);
                self.observed(Some(read.key.purpose()), replaced)
            }
            Err(error) => StoreFuture::ready(Err(error)),
        }
    }

    /// Removes a record, under both names.
    #[cfg_attr(not(feature = "session"), allow(dead_code))]
    pub(crate) fn take(&self, key: &RecordKey) -> StoreFuture<()> {
        let this = self.clone();
        let names: Vec<StoreKey> = key.names().map(|(name, _)| name).collect();
        StoreFuture::pending(async move {
            for name in names {
                let taken = this.shared.store.take(&name);
                this.observed(Some(name.purpose()), taken).await?;
            }
            Ok(())
        })
    }

    /// Adds to counters, under the current secret.
    pub(crate) fn add(&self, keys: &[RecordKey], delta: i64, ttl: Ttl) -> StoreFuture<Vec<i64>> {
        let names: Vec<StoreKey> = keys.iter().map(|key| key.current).collect();
        let purpose = names.first().map(StoreKey::purpose);
        let counts = self.shared.store.add(&names, delta, ttl);
        self.observed(purpose, counts.map(move |counts| one_for_each(names.len(), counts)))
    }

    /// Returns the time of the store's clock.
    pub(crate) fn now(&self) -> StoreFuture<SystemTime> {
        match self.shared.store.now().into_ready() {
            // A success is no answer of the store: normally, no round trip is needed.
            Ok(Ok(now)) => StoreFuture::ready(Ok(now)),
            Ok(failed) => {
                self.health.record(&failed, None);
                StoreFuture::ready(failed)
            }
            Err(pending) => {
                let health = Arc::clone(&self.health);
                pending.map(move |now| {
                    if now.is_err() {
                        health.record(&now, None);
                    }
                    now
                })
            }
        }
    }

    /// Seals a value that is kept elsewhere, such as in a cookie. It is valid only for this key.
    #[cfg(feature = "oidc-login")]
    pub(crate) fn seal(&self, key: &RecordKey, value: &[u8]) -> Result<Bytes, StoreError> {
        self.shared.secret.current.seal(&key.current, value)
    }

    /// Returns a value that was sealed for this key with one of the secrets.
    #[cfg(feature = "oidc-login")]
    pub(crate) fn unseal(&self, key: &RecordKey, sealed: &[u8]) -> Option<Bytes> {
        key.names().find_map(|(name, secret)| self.keys(secret).ok()?.open(&name, sealed))
    }

    fn open(
        &self,
        (key, secret): (StoreKey, WhichSecret),
        sealed: Bytes,
        is_counter: bool,
    ) -> Result<Record, StoreError> {
        let value = match is_counter {
            true => sealed.clone(),
            false => self.keys(secret)?.open(&key, &sealed).ok_or_else(|| {
                StoreError::new(StoreErrorKind::Unreadable)
                    .with_source("the record was not sealed with this secret")
            })?,
        };
        Ok(Record { value, key, secret, sealed })
    }

    /// Returns the keys that a secret derives.
    fn keys(&self, secret: WhichSecret) -> Result<&Keys, StoreError> {
        let StoreSecret { current, previous } = &self.shared.secret;
        match secret {
            WhichSecret::Current => Ok(current),
            WhichSecret::Previous => previous.as_ref().ok_or_else(|| {
                StoreError::new(StoreErrorKind::Unreadable)
                    .with_source("the store has no previous secret")
            }),
        }
    }

    /// Reports outages, their end and other faults.
    fn observed<T: Send + 'static>(
        &self,
        purpose: Option<Purpose>,
        result: StoreFuture<T>,
    ) -> StoreFuture<T> {
        let health = Arc::clone(&self.health);
        result.map(move |result| {
            health.record(&result, purpose);
            result
        })
    }
}

/// Checks that a store returned as many values as it got keys.
fn one_for_each<T>(keys: usize, values: Result<Vec<T>, StoreError>) -> Result<Vec<T>, StoreError> {
    match values {
        Ok(values) if values.len() != keys => Err(StoreError::new(StoreErrorKind::Unreadable)
            .with_source("the store returned another number of values than of keys")),
        values => values,
    }
}

impl fmt::Debug for SealedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedStore").finish_non_exhaustive()
    }
}
