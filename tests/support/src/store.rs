//! A store in memory that a test can switch off and pause.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use axum::body::Bytes;
use tokio::sync::watch;
use tower_auth::{
    clock::Clock,
    store::{
        Memory, SealedStore, Store, StoreError, StoreErrorKind, StoreFuture, StoreKey, StoreSecret,
        Ttl,
    },
};

/// A store in memory. Clones share the records and the switches.
#[derive(Clone)]
pub struct SwitchedStore(Arc<State>);

struct State {
    memory: Memory,
    fault: Mutex<Option<StoreErrorKind>>,
    is_paused: watch::Sender<bool>,
    refuses_writes: AtomicBool,
}

impl SwitchedStore {
    /// How long an operation waits while the store is paused.
    pub const TIMEOUT: Duration = Duration::from_millis(200);

    pub fn new(clock: impl Clock) -> Self {
        let memory = Memory::with_clock(clock);
        let is_paused = watch::Sender::new(false);
        let (fault, refuses_writes) = (Mutex::default(), AtomicBool::new(false));
        Self(Arc::new(State { memory, fault, is_paused, refuses_writes }))
    }

    /// Returns the store with a secret that is the same for each call.
    pub fn sealed(&self) -> SealedStore {
        SealedStore::new(
            self.clone(),
            StoreSecret::new(*b"0123456789abcdefghijklmnopqrstuv").unwrap(),
        )
    }

    /// Lets all operations fail, or succeed again.
    pub fn set_fault(&self, fault: impl Into<Option<StoreErrorKind>>) {
        *self.0.fault.lock().unwrap() = fault.into();
    }

    /// Lets `insert` and `replace` fail as in a store without space, or succeed again.
    pub fn refuse_writes(&self, refuses: bool) {
        self.0.refuses_writes.store(refuses, Ordering::SeqCst);
    }

    fn check_space(&self) -> Result<(), StoreError> {
        match self.0.refuses_writes.load(Ordering::SeqCst) {
            true => Err(StoreError::new(StoreErrorKind::Full)),
            false => Ok(()),
        }
    }

    /// Lets all operations wait, and fail after [`TIMEOUT`](Self::TIMEOUT).
    pub fn pause(&self) {
        self.0.is_paused.send_replace(true);
    }

    pub fn resume(&self) {
        self.0.is_paused.send_replace(false);
    }

    fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Memory) -> StoreFuture<T> + Send + 'static,
    ) -> StoreFuture<T> {
        let state = Arc::clone(&self.0);
        StoreFuture::pending(async move {
            let mut is_paused = state.is_paused.subscribe();
            let resumed = is_paused.wait_for(|is_paused| !is_paused);
            if tokio::time::timeout(Self::TIMEOUT, resumed).await.is_err() {
                return Err(StoreError::new(StoreErrorKind::Unavailable).with_source("timed out"));
            }
            let fault = *state.fault.lock().unwrap();
            match fault {
                Some(kind) => Err(StoreError::new(kind).with_source("switched off")),
                None => operation(&state.memory).await,
            }
        })
    }
}

impl Store for SwitchedStore {
    fn get(&self, keys: &[StoreKey]) -> StoreFuture<Vec<Option<Bytes>>> {
        let keys = keys.to_vec();
        self.run(move |memory| memory.get(&keys))
    }

    fn put(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<()> {
        let key = *key;
        self.run(move |memory| memory.put(&key, value, ttl))
    }

    fn insert(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        if let Err(error) = self.check_space() {
            return StoreFuture::ready(Err(error));
        }
        let key = *key;
        self.run(move |memory| memory.insert(&key, value, ttl))
    }

    fn replace(&self, key: &StoreKey, current: Bytes, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        if let Err(error) = self.check_space() {
            return StoreFuture::ready(Err(error));
        }
        let key = *key;
        self.run(move |memory| memory.replace(&key, current, value, ttl))
    }

    fn add(&self, keys: &[StoreKey], delta: i64, ttl: Ttl) -> StoreFuture<Vec<i64>> {
        let keys = keys.to_vec();
        self.run(move |memory| memory.add(&keys, delta, ttl))
    }

    fn take(&self, key: &StoreKey) -> StoreFuture<Option<Bytes>> {
        let key = *key;
        self.run(move |memory| memory.take(&key))
    }

    fn now(&self) -> StoreFuture<SystemTime> {
        // A store normally knows its time without a round trip.
        self.0.memory.now()
    }
}
