use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;

use super::{StoreError, StoreKey, Ttl};
use crate::later::Later;

/// The result of an operation of a [`Store`], now or later.
pub type StoreFuture<T> = Later<Result<T, StoreError>>;

/// Keeps records for a limited time.
///
/// [`Memory`](super::Memory) and `Redis` implement it. To use another database, implement it and
/// pass it to [`SealedStore::new`](super::SealedStore::new). `test_util::StoreSuite` tests an
/// implementation.
///
/// # Rules for implementations
///
/// - Each operation is atomic on each of its keys. If two callers [`insert`](Self::insert) the same
///   key at the same time, exactly one gets `true`.
/// - A record does not exist after its [`Ttl`], even if it was not removed yet.
/// - An operation is not sent again. If its outcome is unknown, for example because the connection
///   broke, return [`Unavailable`](super::StoreErrorKind::Unavailable).
/// - An operation ends within a time limit of the store.
/// - If the store has no space, a write returns [`Full`](super::StoreErrorKind::Full). The store
///   does not evict other records.
/// - Reads see the latest write. Never read from a replica.
/// - Values are any bytes, up to 1 MiB.
pub trait Store: Send + Sync {
    /// Returns the value of each key, in the same order, or `None` for a key without a record.
    ///
    /// This takes one round trip, whatever the number of keys. If one key cannot be read, the whole
    /// operation fails. The value of a counter (see [`add`](Self::add)) is its decimal digits, with
    /// `-` if it is negative.
    fn get(&self, keys: &[StoreKey]) -> StoreFuture<Vec<Option<Bytes>>>;

    /// Writes a record. It replaces an existing one, and its lifetime.
    fn put(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<()>;

    /// Writes a record if there is none under this key. Returns whether it was written.
    fn insert(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<bool>;

    /// Writes a record if the current value is exactly `current`. Returns whether it was written.
    /// The new record has the lifetime `ttl`.
    fn replace(&self, key: &StoreKey, current: Bytes, value: Bytes, ttl: Ttl) -> StoreFuture<bool>;

    /// Adds `delta` to the counter under each key, and returns the results in the same order.
    ///
    /// This takes one round trip, whatever the number of keys. A counter that does not exist starts
    /// at zero. Its lifetime is set when it is created, and does not change later.
    ///
    /// # Errors
    ///
    /// Returns [`Unreadable`](super::StoreErrorKind::Unreadable) if a value is not a whole number
    /// or the result exceeds an `i64`. That value is unchanged.
    fn add(&self, keys: &[StoreKey], delta: i64, ttl: Ttl) -> StoreFuture<Vec<i64>>;

    /// Removes a record and returns its value. Of several callers at the same time, one gets it.
    fn take(&self, key: &StoreKey) -> StoreFuture<Option<Bytes>>;

    /// Returns the time of the store's clock, which all instances share. It is normally ready: a
    /// store samples its difference to the local clock from time to time.
    fn now(&self) -> StoreFuture<SystemTime>;
}

macro_rules! impl_store_for_pointers {
    ($($pointer:ident)+) => {$(
        impl<S: Store + ?Sized> Store for $pointer<S> {
            fn get(&self, keys: &[StoreKey]) -> StoreFuture<Vec<Option<Bytes>>> {
                (**self).get(keys)
            }

            fn put(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<()> {
                (**self).put(key, value, ttl)
            }

            fn insert(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
                (**self).insert(key, value, ttl)
            }

            fn replace(
                &self,
                key: &StoreKey,
                current: Bytes,
                value: Bytes,
                ttl: Ttl,
            ) -> StoreFuture<bool> {
                (**self).replace(key, current, value, ttl)
            }

            fn add(&self, keys: &[StoreKey], delta: i64, ttl: Ttl) -> StoreFuture<Vec<i64>> {
                (**self).add(keys, delta, ttl)
            }

            fn take(&self, key: &StoreKey) -> StoreFuture<Option<Bytes>> {
                (**self).take(key)
            }

            fn now(&self) -> StoreFuture<SystemTime> {
                (**self).now()
            }
        }
    )+};
}

impl_store_for_pointers!(Arc Box);
