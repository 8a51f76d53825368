//! Checks that response times do not disclose which ids of API keys exist.
//!
//! `cargo bench -p tower-auth-benches --bench key_enumeration` fails if they do. It sends keys with
//! an unknown id and keys with a wrong secret, in random order, and compares the times with the
//! statistics of the bench `enumeration`.
//!
//! Welch's t-test also detects the few nanoseconds in which the record of an id that exists is
//! copied and dropped. Ids are not secret, and no network shows such a difference. So the limit is
//! a difference of the means of 0.1 µs, and a store that leaks 0.2 µs on purpose must exceed it.

mod times;

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures_util::FutureExt;
use tower_auth::{
    RejectionKind,
    api_key::{
        ApiKeyFuture, ApiKeyStore, ApiKeys, Inserted, MemoryApiKeys, NewApiKey, StoredApiKey,
    },
    bearer::TokenVerifier,
};

use self::times::{Times, median, spread};

/// The number of ids that exist, and of ids that do not.
const IDS: usize = 200;
const ROUNDS: usize = 100;
/// The difference of the means that is accepted, in ns.
const LIMIT: f64 = 100.0;
const ATTEMPTS: usize = 3;

fn main() {
    let texts = [(); 2].map(|()| (0..IDS).map(|_| new_key()).collect::<Vec<_>>());
    println!("limit {LIMIT} ns {:>16}{:>8}{:>10}{:>10}", "ns", "t", "median", "spread");
    let mut passed = true;
    let mut check = |name, leaks, delay| {
        passed &= (0..ATTEMPTS).any(|_| {
            let times = measure(&texts, Store::new(&texts[1], delay));
            let (t, micros) = times.welch();
            let (medians, spreads) = (times.ks_distance(median), times.ks_distance(spread));
            let difference = micros * 1e3;
            println!("  {name:<20}{difference:>8.1}{t:>8.1}{medians:>10.2}{spreads:>10.2}");
            (difference.abs() > LIMIT) == leaks
        });
    };
    check("MemoryApiKeys", false, Duration::ZERO);
    check("leak: 0.2 µs", true, Duration::from_nanos(200));
    assert!(
        passed,
        "response times disclose ids, or the bench did not detect a deliberate leak: see above"
    );
}

/// Creates a key. It is not in the store that is measured.
fn new_key() -> (String, StoredApiKey) {
    let store = Arc::new(MemoryApiKeys::new());
    let keys = api_keys(Arc::clone(&store), SystemTime::now);
    let created = keys.dangerous_create_for("alice", NewApiKey::new("bench"));
    let created = created.now_or_never().unwrap().unwrap();
    let stored = store.find(&created.info().id).now_or_never().unwrap().unwrap().unwrap();
    (created.key().to_owned(), stored)
}

fn api_keys(
    store: impl ApiKeyStore,
    clock: impl Fn() -> SystemTime + Send + Sync + 'static,
) -> ApiKeys {
    ApiKeys::builder("acme", store).dangerous_trust_owners().clock(clock).build().unwrap()
}

/// Takes longer for ids that exist.
struct Store {
    keys: MemoryApiKeys,
    delay: Duration,
}

impl Store {
    /// Creates a store with the ids of these keys and other secrets.
    fn new(keys: &[(String, StoredApiKey)], delay: Duration) -> Self {
        let store = MemoryApiKeys::new();
        for (_, stored) in keys {
            let mut stored = stored.clone();
            stored.digest[31] ^= 1;
            let inserted = store.insert(stored, IDS).now_or_never().unwrap().unwrap();
            assert_eq!(inserted, Inserted::Stored);
        }
        Self { keys: store, delay }
    }
}

impl ApiKeyStore for Store {
    fn find(&self, id: &str) -> ApiKeyFuture<Option<StoredApiKey>> {
        let found = self.keys.find(id).now_or_never().unwrap();
        if !self.delay.is_zero() && matches!(found, Ok(Some(_))) {
            let start = Instant::now();
            while start.elapsed() < self.delay {}
        }
        ApiKeyFuture::ready(found)
    }

    fn insert(&self, _: StoredApiKey, _: usize) -> ApiKeyFuture<Inserted> {
        ApiKeyFuture::ready(Err("not used".into()))
    }

    fn list(&self, _: &str) -> ApiKeyFuture<Vec<StoredApiKey>> {
        ApiKeyFuture::ready(Err("not used".into()))
    }

    fn revoke(&self, _: &str, _: SystemTime) -> ApiKeyFuture<bool> {
        ApiKeyFuture::ready(Err("not used".into()))
    }

    fn expire(&self, _: &str, _: SystemTime) -> ApiKeyFuture<()> {
        ApiKeyFuture::ready(Err("not used".into()))
    }
}

fn measure(texts: &[Vec<(String, StoredApiKey)>; 2], store: impl ApiKeyStore) -> Times {
    // Each check is later than the time for which unknown keys are remembered.
    let seconds = AtomicU64::new(1_700_000_000);
    let clock = move || UNIX_EPOCH + Duration::from_secs(seconds.fetch_add(31, Ordering::Relaxed));
    let keys = api_keys(store, clock);
    let mut times = Times([(); 2].map(|()| vec![Vec::new(); IDS]));
    let mut order: Vec<_> = (0..IDS).flat_map(|index| [(index, 0), (index, 1)]).collect();
    for round in 0..=ROUNDS {
        let random = RandomState::new();
        order.sort_by_cached_key(|entry| random.hash_one(entry));
        for &(index, exists) in &order {
            let text = &texts[exists][index].0;
            let start = Instant::now();
            let result = keys.verify(text).now_or_never().unwrap();
            let micros = start.elapsed().as_secs_f64() * 1e6;
            assert_eq!(result.unwrap_err().kind(), RejectionKind::InvalidCredentials);
            // The first round warms up.
            if round > 0 {
                times.0[exists][index].push(micros);
            }
        }
    }
    times
}
