//! Throttles that share a store, for tests.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::{shared_attempt::SharedAttempt, shared_throttle::SharedThrottle, throttle::Throttle};
use crate::{
    basic::{client_address::ClientAddress, credentials::BasicCredentials},
    rejection::RejectionKind,
    store::{
        error::{StoreError, StoreErrorKind},
        key::StoreKey,
        memory::memory::Memory,
        sealed_store::SealedStore,
        secret::StoreSecret,
        store::{Store, StoreFuture},
        ttl::Ttl,
    },
};

/// A store that a test can switch off and pause.
#[derive(Clone)]
pub(super) struct TestStore(Arc<State>);

struct State {
    memory: Memory,
    fault: Mutex<Option<StoreErrorKind>>,
    is_paused: AtomicBool,
    /// Permits for operations while the store is paused.
    gate: Semaphore,
    adds: AtomicUsize,
    keys: Mutex<Vec<StoreKey>>,
}

impl TestStore {
    pub(super) fn set_fault(&self, fault: impl Into<Option<StoreErrorKind>>) {
        *self.0.fault.lock().unwrap() = fault.into();
    }

    pub(super) fn pause(&self) {
        self.0.is_paused.store(true, Ordering::SeqCst);
    }

    /// Lets this number of paused operations proceed.
    pub(super) fn release(&self, operations: usize) {
        self.0.gate.add_permits(operations);
    }

    pub(super) fn resume(&self) {
        self.0.is_paused.store(false, Ordering::SeqCst);
        self.release(1_000);
    }

    /// Returns how often counters were changed.
    pub(super) fn adds(&self) -> usize {
        self.0.adds.load(Ordering::SeqCst)
    }

    /// Returns the keys of all counters that were changed.
    pub(super) fn keys(&self) -> Vec<StoreKey> {
        self.0.keys.lock().unwrap().clone()
    }

    fn unused<T>(&self) -> StoreFuture<T> {
        StoreFuture::ready(Err(StoreError::new(StoreErrorKind::Unreadable)))
    }
}

impl Store for TestStore {
    fn get(&self, _: &[StoreKey]) -> StoreFuture<Vec<Option<Bytes>>> {
        self.unused()
    }

    fn put(&self, _: &StoreKey, _: Bytes, _: Ttl) -> StoreFuture<()> {
        self.unused()
    }

    fn insert(&self, _: &StoreKey, _: Bytes, _: Ttl) -> StoreFuture<bool> {
        self.unused()
    }

    fn replace(&self, _: &StoreKey, _: Bytes, _: Bytes, _: Ttl) -> StoreFuture<bool> {
        self.unused()
    }

    fn add(&self, keys: &[StoreKey], delta: i64, ttl: Ttl) -> StoreFuture<Vec<i64>> {
        let (state, keys) = (Arc::clone(&self.0), keys.to_vec());
        StoreFuture::pending(async move {
            if state.is_paused.load(Ordering::SeqCst) {
                state.gate.acquire().await.unwrap().forget();
            }
            // Operations of concurrent attempts take place in any order.
            tokio::task::yield_now().await;
            if let Some(fault) = *state.fault.lock().unwrap() {
                return Err(StoreError::new(fault));
            }
            state.adds.fetch_add(1, Ordering::SeqCst);
            state.keys.lock().unwrap().extend(&keys);
            state.memory.add(&keys, delta, ttl).into_ready().unwrap()
        })
    }

    fn take(&self, _: &StoreKey) -> StoreFuture<Option<Bytes>> {
        self.unused()
    }

    fn now(&self) -> StoreFuture<SystemTime> {
        match *self.0.fault.lock().unwrap() {
            Some(StoreErrorKind::Unavailable) => {
                StoreFuture::ready(Err(StoreError::new(StoreErrorKind::Unavailable)))
            }
            _ => self.0.memory.now(),
        }
    }
}

/// Instances that allow 10 failures in 300 s and share a store, and their mock clock. The time is
/// at the beginning of a window.
pub(super) struct SharedFixture {
    instances: Vec<SharedThrottle>,
    pub(super) store: TestStore,
    pub(super) sealed: SealedStore,
    seconds: Arc<AtomicU64>,
}

impl SharedFixture {
    pub(super) fn new(instances: usize) -> Self {
        Self::with(instances, |throttle| throttle)
    }

    pub(super) fn with(instances: usize, change: impl Fn(Throttle) -> Throttle) -> Self {
        let seconds = Arc::new(AtomicU64::new(3_000_000));
        let mock = Arc::clone(&seconds);
        let clock =
            move || SystemTime::UNIX_EPOCH + Duration::from_secs(mock.load(Ordering::SeqCst));
        let store = TestStore(Arc::new(State {
            memory: Memory::with_clock(clock.clone()),
            fault: Mutex::default(),
            is_paused: AtomicBool::default(),
            gate: Semaphore::new(0),
            adds: AtomicUsize::default(),
            keys: Mutex::default(),
        }));
        let sealed = SealedStore::new(
            store.clone(),
            StoreSecret::new(*b"0123456789abcdefghijklmnopqrstuv").unwrap(),
        );
        let sealed = sealed.observer(|_: &crate::observe::Event<'_>| {});
        let instance = |_| {
            let throttle = Throttle::by_address(|_| None).clock(clock.clone());
            Arc::new(change(throttle.shared(sealed.clone()))).to_shared().unwrap()
        };
        Self { instances: (0..instances).map(instance).collect(), store, sealed, seconds }
    }

    pub(super) fn advance(&self, seconds: i64) {
        let now = self.seconds.load(Ordering::SeqCst);
        self.seconds.store(now.saturating_add_signed(seconds), Ordering::SeqCst);
    }

    /// Begins an attempt. If it is rejected, returns `Retry-After` in seconds.
    pub(super) async fn begin(
        &self,
        instance: usize,
        from: &str,
        user: &str,
        password: &str,
    ) -> Result<SharedAttempt, u64> {
        let client = ClientAddress::new(from.parse().ok());
        let credentials = BasicCredentials::new(user, password).unwrap();
        let throttle = &self.instances[instance % self.instances.len()];
        throttle.admit(client, &credentials, None).await.map_err(|rejection| {
            assert_eq!(rejection.kind(), RejectionKind::TooManyRequests);
            rejection.retry_after().unwrap().as_secs()
        })
    }

    /// Sends a wrong password.
    pub(super) async fn guess(&self, instance: usize, from: &str, user: &str) -> Result<(), u64> {
        self.begin(instance, from, user, "guess").await?.finish(true).await;
        Ok(())
    }

    /// Sends the correct password.
    pub(super) async fn log_in(&self, instance: usize, from: &str, user: &str) -> Result<(), u64> {
        self.begin(instance, from, user, "correct").await?.finish(false).await;
        Ok(())
    }

    /// Guesses until an attempt is rejected, and returns the number of those that were admitted.
    pub(super) async fn guess_all(&self, from: &str, user: &str) -> usize {
        let mut admitted = 0;
        while self.guess(admitted, from, user).await.is_ok() {
            admitted += 1;
        }
        admitted
    }
}
