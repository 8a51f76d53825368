use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use bytes::Bytes;
use tokio::task::yield_now;
use tower_auth::store::{Memory, Store, StoreError, StoreErrorKind, StoreFuture, StoreKey, Ttl};

/// A store that fails after a number of operations, and whose results are pending twice.
#[derive(Clone)]
pub struct Flaky {
    inner: Memory,
    left: Arc<AtomicUsize>,
    writes: Arc<AtomicUsize>,
}

impl Flaky {
    pub fn new() -> Self {
        let left = Arc::new(AtomicUsize::new(usize::MAX));
        Self { inner: Memory::new(), left, writes: Arc::default() }
    }

    /// Lets this number of operations succeed from now on.
    pub fn fail_after(&self, operations: usize) {
        self.left.store(operations, Ordering::SeqCst);
    }

    pub fn recover(&self) {
        self.fail_after(usize::MAX);
    }

    /// Returns how many writes were tried.
    pub fn writes(&self) -> usize {
        self.writes.load(Ordering::SeqCst)
    }

    fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Memory) -> StoreFuture<T> + Send + 'static,
    ) -> StoreFuture<T> {
        let this = self.clone();
        StoreFuture::pending(async move {
            yield_now().await; // before the operation is sent
            let left = |left: usize| left.checked_sub(1);
            this.left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, left)
                .map_err(|_| StoreError::new(StoreErrorKind::Unavailable))?;
            let result = operation(&this.inner).await;
            yield_now().await; // before its result is received
            result
        })
    }

    fn write<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Memory) -> StoreFuture<T> + Send + 'static,
    ) -> StoreFuture<T> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.run(operation)
    }
}

impl Store for Flaky {
    fn get(&self, keys: &[StoreKey]) -> StoreFuture<Vec<Option<Bytes>>> {
        let keys = keys.to_vec();
        self.run(move |store| store.get(&keys))
    }

    fn put(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<()> {
        let key = *key;
        self.write(move |store| store.put(&key, value, ttl))
    }

    fn insert(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        let key = *key;
        self.write(move |store| store.insert(&key, value, ttl))
    }

    fn replace(&self, key: &StoreKey, current: Bytes, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        let key = *key;
        self.write(move |store| store.replace(&key, current, value, ttl))
    }

    fn add(&self, keys: &[StoreKey], delta: i64, ttl: Ttl) -> StoreFuture<Vec<i64>> {
        let keys = keys.to_vec();
        self.write(move |store| store.add(&keys, delta, ttl))
    }

    fn take(&self, key: &StoreKey) -> StoreFuture<Option<Bytes>> {
        let key = *key;
        self.write(move |store| store.take(&key))
    }

    fn now(&self) -> StoreFuture<SystemTime> {
        self.run(Store::now)
    }
}
