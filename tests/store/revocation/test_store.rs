use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, RandomizedNonceKey},
    hmac,
};
use bytes::Bytes;
use futures_util::task::noop_waker_ref;
use tower_auth::{
    clock::Clock,
    observe::{Event, Observe},
    revocation::{Revocations, RevocationsBuilder},
    store::{
        SealedStore, Store, StoreError, StoreErrorKind, StoreFuture, StoreKey, StoreSecret, Ttl,
    },
    test_util::TestClock,
};

pub const LIFE: Duration = Duration::from_secs(3_600);

/// Returns a key of an operator.
pub fn key(number: u8) -> [u8; 32] {
    std::array::from_fn(|index| u8::try_from(index).unwrap() ^ number)
}

/// A store whose records a test can lose, which can fail, and whose operations can wait.
#[derive(Clone)]
pub struct TestStore(Arc<State>);

struct State {
    clock: TestClock,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    records: Records,
    operations: Vec<&'static str>,
    failure: Option<StoreErrorKind>,
    fault: Option<Fault>,
    /// The records before the last write.
    before_last_write: Records,
    is_stepped: bool,
    permits: usize,
    wakers: Vec<Waker>,
}

/// The failure of one operation.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// How many operations succeed before it. Reading the clock is one, too.
    pub after: usize,
    /// Whether the operation takes effect nevertheless.
    pub takes_effect: bool,
    pub kind: StoreErrorKind,
}

pub type Snapshot = Records;

type Records = HashMap<StoreKey, (Bytes, SystemTime)>;

impl TestStore {
    pub fn new(clock: &TestClock) -> Self {
        Self(Arc::new(State { clock: clock.clone(), inner: Mutex::default() }))
    }

    /// Returns the builder of one process that uses this store.
    pub fn process(&self) -> RevocationsBuilder {
        self.process_with(StoreSecret::new(key(7)).unwrap())
    }

    pub fn process_with(&self, secret: StoreSecret) -> RevocationsBuilder {
        Revocations::builder(SealedStore::new(self.clone(), secret).observer(|_: &Event<'_>| {}))
            .longest_token_life(LIFE)
            .clock(self.0.clock.clone())
            .observer(|_: &Event<'_>| {})
    }

    pub fn snapshot(&self) -> Records {
        self.inner().records.clone()
    }

    pub fn restore(&self, records: &Records) {
        self.inner().records.clone_from(records);
    }

    pub fn clear(&self) {
        self.inner().records.clear();
    }

    /// Removes the records whose value a closure selects.
    pub fn remove(&self, is_removed: impl Fn(&[u8]) -> bool) -> usize {
        let mut inner = self.inner();
        let before = inner.records.len();
        inner.records.retain(|_, (value, _)| !is_removed(value));
        before - inner.records.len()
    }

    pub fn overwrite_all(&self, new: &'static [u8]) {
        self.inner().records.values_mut().for_each(|(value, _)| *value = Bytes::from_static(new));
    }

    /// Seals other values with the secret of [`process`](Self::process) in the records of instants.
    pub fn overwrite_instants(&self, new: &[u8]) -> usize {
        /// Key id, nonce, instant and tag.
        const LENGTH: usize = 4 + 12 + 8 + 16;
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &key(7));
        let values = hmac::sign(&secret, b"tower-auth store: sealed values");
        let values = RandomizedNonceKey::new(&AES_256_GCM_SIV, values.as_ref()).unwrap();
        let mut inner = self.inner();
        let records = inner.records.iter_mut().filter(|(_, (value, _))| value.len() == LENGTH);
        records
            .map(|(key, (value, _))| {
                let aad = [key.purpose().as_str().as_bytes(), b":", key.as_bytes()].concat();
                let mut sealed = new.to_vec();
                let nonce = values.seal_in_place_append_tag(Aad::from(aad), &mut sealed).unwrap();
                *value = [&value[..4], nonce.as_ref(), &sealed].concat().into();
            })
            .count()
    }

    pub fn lifetimes(&self) -> Vec<Duration> {
        let now = self.0.clock.now();
        let inner = self.inner();
        inner.records.values().map(|(_, end)| end.duration_since(now).unwrap()).collect()
    }

    pub fn fail_with(&self, kind: Option<StoreErrorKind>) {
        self.inner().failure = kind;
    }

    /// Makes one of the next operations fail. Returns the fault that has not occurred yet.
    pub fn set_fault(&self, fault: Option<Fault>) -> Option<Fault> {
        std::mem::replace(&mut self.inner().fault, fault)
    }

    /// Loses the last write, as an asynchronous failover does.
    pub fn lose_last_write(&self) {
        let mut inner = self.inner();
        inner.records = inner.before_last_write.clone();
    }

    /// Returns the operations since the last call.
    pub fn take_operations(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.inner().operations)
    }

    /// Makes each operation wait for [`step`] twice: before it is applied, and before its result
    /// arrives.
    pub fn set_stepped(&self, is_stepped: bool) {
        let wakers = {
            let mut inner = self.inner();
            inner.is_stepped = is_stepped;
            std::mem::take(&mut inner.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Polls a task and lets it take at most `steps` steps in the store. Returns its result, and
    /// whether it took a step.
    pub fn step<T>(
        &self,
        task: &mut Pin<Box<dyn Future<Output = T> + '_>>,
        steps: usize,
    ) -> (Option<T>, bool) {
        self.inner().permits = steps;
        let poll = task.as_mut().poll(&mut Context::from_waker(noop_waker_ref()));
        let left = std::mem::take(&mut self.inner().permits);
        match poll {
            Poll::Ready(value) => (Some(value), true),
            Poll::Pending => (None, left < steps),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap()
    }

    async fn wait(&self) {
        std::future::poll_fn(|cx| {
            let mut inner = self.inner();
            if !inner.is_stepped {
                return Poll::Ready(());
            }
            match inner.permits.checked_sub(1) {
                Some(rest) => {
                    inner.permits = rest;
                    Poll::Ready(())
                }
                None => {
                    inner.wakers.push(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await;
    }

    fn run<T: Send + 'static>(
        &self,
        name: &'static str,
        operation: impl FnOnce(&mut Inner, SystemTime) -> T + Send + 'static,
    ) -> StoreFuture<T> {
        let this = self.clone();
        let apply = move || {
            let mut inner = this.inner();
            if name != "now" {
                inner.operations.push(name);
            }
            if let Some(kind) = inner.failure {
                return Err(StoreError::new(kind).with_source("switched off"));
            }
            let now = this.0.clock.now();
            inner.records.retain(|_, (_, end)| now < *end);
            let fault = match &mut inner.fault {
                Some(fault) if fault.after == 0 => inner.fault.take(),
                Some(fault) => {
                    fault.after -= 1;
                    None
                }
                None => None,
            };
            let takes_effect = fault.is_none_or(|fault| fault.takes_effect);
            if takes_effect && !matches!(name, "now" | "get") {
                inner.before_last_write = inner.records.clone();
            }
            let result = takes_effect.then(|| operation(&mut inner, now));
            match (result, fault) {
                (Some(result), None) => Ok(result),
                (_, fault) => {
                    let kind = fault.map_or(StoreErrorKind::Unavailable, |fault| fault.kind);
                    Err(StoreError::new(kind).with_source("one operation failed"))
                }
            }
        };
        if !self.inner().is_stepped || name == "now" {
            return StoreFuture::ready(apply());
        }
        let this = self.clone();
        StoreFuture::pending(async move {
            this.wait().await;
            let result = apply();
            this.wait().await;
            result
        })
    }
}

impl Store for TestStore {
    fn get(&self, keys: &[StoreKey]) -> StoreFuture<Vec<Option<Bytes>>> {
        let keys = keys.to_vec();
        self.run("get", move |inner, _| {
            keys.iter().map(|key| Some(inner.records.get(key)?.0.clone())).collect()
        })
    }

    fn put(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<()> {
        let key = *key;
        self.run("put", move |inner, now| {
            inner.records.insert(key, (value, now + ttl.as_duration()));
        })
    }

    fn insert(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        let key = *key;
        self.run("insert", move |inner, now| {
            let is_absent = !inner.records.contains_key(&key);
            if is_absent {
                inner.records.insert(key, (value, now + ttl.as_duration()));
            }
            is_absent
        })
    }

    fn replace(&self, key: &StoreKey, current: Bytes, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        let key = *key;
        self.run("replace", move |inner, now| match inner.records.get_mut(&key) {
            Some(record) if record.0 == current => {
                *record = (value, now + ttl.as_duration());
                true
            }
            _ => false,
        })
    }

    fn add(&self, keys: &[StoreKey], delta: i64, ttl: Ttl) -> StoreFuture<Vec<i64>> {
        let keys = keys.to_vec();
        self.run("add", move |inner, now| {
            let add = |key: &StoreKey| {
                let end = now + ttl.as_duration();
                let record = inner.records.entry(*key).or_insert((Bytes::from_static(b"0"), end));
                let count: i64 = std::str::from_utf8(&record.0).unwrap().parse().unwrap();
                record.0 = (count + delta).to_string().into();
                count + delta
            };
            keys.iter().map(add).collect()
        })
    }

    fn take(&self, key: &StoreKey) -> StoreFuture<Option<Bytes>> {
        let key = *key;
        self.run("take", move |inner, _| Some(inner.records.remove(&key)?.0))
    }

    fn now(&self) -> StoreFuture<SystemTime> {
        self.run("now", move |_, now| now)
    }
}

/// Counts the events of a kind.
#[derive(Clone, Default)]
pub struct Events(Arc<Mutex<Vec<&'static str>>>);

impl Events {
    /// Returns the events since the last call.
    pub fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Observe for Events {
    fn observed(&self, event: &Event<'_>) {
        let name = match event {
            Event::Revoked { .. } => "revoked",
            Event::StoreReverted => "reverted",
            _ => return,
        };
        self.0.lock().unwrap().push(name);
    }
}
