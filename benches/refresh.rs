//! Measures the refresh of tokens that are signed with EdDSA, with the store in memory.
//!
//! `cargo bench -p tower-auth-benches --bench refresh` prints the median time of a login, of a
//! refresh that creates the next generation, and of one that answers again. The limit for a refresh
//! is 120 µs. It fails if a refresh takes more than two reads and one replacement, or if it
//! allocates more than now.

use std::{
    fmt::Debug,
    future::Future,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use allocation_counter::measure as count_allocations;
use bytes::Bytes;
use futures_util::FutureExt;
use tower_auth::{
    Principal, Scheme,
    issue::{Grant, TokenIssuer, TokenPair},
    store::{Memory, SealedStore, Store, StoreFuture, StoreKey, StoreSecret, Ttl},
};

const LOGINS: usize = 2_000;
const MAX_ALLOCATIONS: u64 = 105;

/// A store that records the names of operations.
#[derive(Clone)]
struct RecordingStore {
    inner: Memory,
    operations: Arc<Mutex<Vec<&'static str>>>,
}

impl RecordingStore {
    fn record(&self, operation: &'static str) {
        self.operations.lock().unwrap().push(operation);
    }

    fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.operations.lock().unwrap())
    }
}

impl Store for RecordingStore {
    fn get(&self, keys: &[StoreKey]) -> StoreFuture<Vec<Option<Bytes>>> {
        self.record("get");
        self.inner.get(keys)
    }

    fn put(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<()> {
        self.record("put");
        self.inner.put(key, value, ttl)
    }

    fn insert(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        self.record("insert");
        self.inner.insert(key, value, ttl)
    }

    fn replace(&self, key: &StoreKey, current: Bytes, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        self.record("replace");
        self.inner.replace(key, current, value, ttl)
    }

    fn add(&self, keys: &[StoreKey], delta: i64, ttl: Ttl) -> StoreFuture<Vec<i64>> {
        self.record("add");
        self.inner.add(keys, delta, ttl)
    }

    fn take(&self, key: &StoreKey) -> StoreFuture<Option<Bytes>> {
        self.record("take");
        self.inner.take(key)
    }

    fn now(&self) -> StoreFuture<SystemTime> {
        self.inner.now()
    }
}

/// Returns the result of a future that does not wait.
fn ready<T, E: Debug>(future: impl Future<Output = Result<T, E>>) -> T {
    future.now_or_never().unwrap().unwrap()
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let store = RecordingStore { inner: Memory::new(), operations: Arc::default() };
    let secret = std::array::from_fn(|index| u8::try_from(index).unwrap());
    let sealed = SealedStore::new(store.clone(), StoreSecret::new(secret).unwrap());
    let issuer = TokenIssuer::builder()
        .issuer("https://login.example")
        .audience("orders")
        .store(sealed)
        .build()
        .unwrap();
    let log_in = |number: usize| {
        let user = Principal::builder(format!("user {number}"), Scheme::BEARER);
        let user = user.scopes(["orders:read", "orders:write"]).build();
        ready(issuer.issue(Grant::new(&user).amr(["pwd"])))
    };
    let refresh = |pair: &TokenPair| ready(issuer.refresh(pair.refresh_token()));
    let first = log_in(LOGINS);
    refresh(&first);

    let counted = log_in(LOGINS + 1);
    for (name, expected) in [("new", &["get", "get", "replace"][..]), ("again", &["get", "get"])] {
        store.take();
        let allocations = count_allocations(|| drop(refresh(&counted))).count_total;
        println!("refresh, {name}: {allocations} allocations");
        assert_eq!(store.take(), expected, "{name}");
        assert!(allocations <= MAX_ALLOCATIONS, "{name}: {allocations} allocations");
    }

    let (pairs, login) = timed(0..LOGINS, log_in);
    let (_, new) = timed(&pairs, refresh);
    let (_, again) = timed(&pairs, refresh);
    for (name, time) in [("login", login), ("refresh, new", new), ("refresh, again", again)] {
        println!("{name:<16} {:>8.1} µs", time.as_secs_f64() * 1e6);
    }
}

/// Calls a function with each input. Returns the results and the median time.
fn timed<I, T>(inputs: impl IntoIterator<Item = I>, call: impl Fn(I) -> T) -> (Vec<T>, Duration) {
    let (mut results, mut times) = (Vec::new(), Vec::new());
    for input in inputs {
        let started = Instant::now();
        results.push(call(input));
        times.push(started.elapsed());
    }
    times.sort_unstable();
    (results, times[times.len() / 2])
}
