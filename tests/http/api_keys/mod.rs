//! API keys: their verification, their life, limits for unknown keys, and other authenticators.

mod composition;
mod grpc;
mod life_cycle;
mod scanners;
mod throttle;
mod throttled_wrappers;
mod verification;

use std::{
    collections::HashMap,
    fmt::Debug,
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::FutureExt;
use serde_json::json;
use tokio::sync::Semaphore;
use tower_auth::{
    Later, Principal, Rejection,
    api_key::{
        ApiKeyFuture, ApiKeyStore, ApiKeys, ApiKeysBuilder, CreatedApiKey, Inserted, InvalidApiKey,
        KeyOwner, KeyOwners, MemoryApiKeys, NewApiKey, StoredApiKey,
    },
    bearer::TokenVerifier,
    clock::Clock as _,
    observe::{Event, Observe},
    test_util::{TestClock, principal},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An API key service of which a test controls everything around it.
struct Fixture {
    keys: ApiKeys,
    store: Store,
    accounts: Accounts,
    events: Events,
    clock: TestClock,
}

impl Fixture {
    fn new() -> Self {
        Self::with(|builder, _| builder)
    }

    /// Creates a service for which `alice` and `bob` have the scopes `read` and `write`.
    fn with(change: impl FnOnce(ApiKeysBuilder, &TestClock) -> ApiKeysBuilder) -> Self {
        let (store, accounts) = (Store::default(), Accounts::default());
        let (events, clock) = (Events::default(), TestClock::new());
        for user in ["alice", "bob"] {
            accounts.set(user, Some(&["read", "write"]));
        }
        let builder = ApiKeys::builder("acme_test", store.clone())
            .owners(accounts.clone())
            .observer(events.clone())
            .clock(clock.clone());
        let keys = change(builder, &clock).build().unwrap();
        Self { keys, store, accounts, events, clock }
    }

    /// Returns a caller who has just logged in and has all scopes.
    fn caller(&self, subject: &str) -> Principal {
        let claims = json!({ "sub": subject, "auth_time": seconds_ago(self, 0) });
        principal(subject).claims(&claims).unwrap().scopes(["read", "write", "other"]).build()
    }

    /// Creates a key of `alice` with the scopes `read` and `write`.
    fn create(&self) -> CreatedApiKey {
        self.create_for("alice")
    }

    fn create_for(&self, user: &str) -> CreatedApiKey {
        let request = NewApiKey::new("export").scopes(["read", "write"]);
        now(self.keys.create(&self.caller(user), request)).unwrap()
    }

    /// Verifies a key without a request.
    fn verify(&self, key: &str) -> Result<Principal, Rejection> {
        self.keys.verify(key).now_or_never().expect("the store is ready")
    }

    /// Returns why a key is rejected.
    fn reason(&self, key: &str) -> InvalidApiKey {
        reason(&self.verify(key).unwrap_err())
    }
}

fn reason(rejection: &Rejection) -> InvalidApiKey {
    *std::error::Error::source(rejection).and_then(|reason| reason.downcast_ref()).unwrap()
}

/// Returns the result of a future that does not wait.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the future is ready")
}

/// Returns a key with a random id and secret, of the same service and with a valid checksum.
fn unknown_key() -> String {
    let other = ApiKeys::builder("acme_test", MemoryApiKeys::new());
    let other = other.dangerous_trust_owners().build().unwrap();
    now(other.dangerous_create_for("mallory", NewApiKey::new(""))).unwrap().key().to_owned()
}

/// A store in memory that counts its calls, and that can fail or wait.
#[derive(Clone, Default)]
struct Store {
    keys: Arc<MemoryApiKeys>,
    finds: Arc<AtomicUsize>,
    others: Arc<AtomicUsize>,
    is_down: Arc<AtomicBool>,
    /// Whether `list` ignores the case of owners, as some databases do.
    ignores_case: Arc<AtomicBool>,
    /// With a semaphore, each `find` waits for a permit.
    gate: Arc<Mutex<Option<Arc<Semaphore>>>>,
}

impl Store {
    /// Returns how often `find` was called since the last time.
    fn take_finds(&self) -> usize {
        self.finds.swap(0, Ordering::SeqCst)
    }

    fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::SeqCst);
    }

    /// Makes each `find` wait for a permit of the result.
    fn close_gate(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        *self.gate.lock().unwrap() = Some(Arc::clone(&gate));
        gate
    }

    fn other<T: Send + 'static>(&self, result: ApiKeyFuture<T>) -> ApiKeyFuture<T> {
        self.others.fetch_add(1, Ordering::SeqCst);
        if self.is_down.load(Ordering::SeqCst) { down() } else { result }
    }
}

fn down<T>() -> ApiKeyFuture<T> {
    ApiKeyFuture::ready(Err("database 7 is down".into()))
}

impl ApiKeyStore for Store {
    fn find(&self, id: &str) -> ApiKeyFuture<Option<StoredApiKey>> {
        self.finds.fetch_add(1, Ordering::SeqCst);
        if self.is_down.load(Ordering::SeqCst) {
            return down();
        }
        let Some(gate) = self.gate.lock().unwrap().clone() else { return self.keys.find(id) };
        let (keys, id) = (Arc::clone(&self.keys), id.to_owned());
        Later::pending(async move {
            gate.acquire().await.unwrap().forget();
            keys.find(&id).await
        })
    }

    fn insert(&self, key: StoredApiKey, most: usize) -> ApiKeyFuture<Inserted> {
        if self.is_down.load(Ordering::SeqCst) {
            return down();
        }
        self.other(self.keys.insert(key, most))
    }

    fn list(&self, owner: &str) -> ApiKeyFuture<Vec<StoredApiKey>> {
        match self.ignores_case.load(Ordering::SeqCst) {
            true => self.other(self.keys.list(&owner.to_lowercase())),
            false => self.other(self.keys.list(owner)),
        }
    }

    fn revoke(&self, id: &str, at: SystemTime) -> ApiKeyFuture<bool> {
        self.other(self.keys.revoke(id, at))
    }

    fn expire(&self, id: &str, at: SystemTime) -> ApiKeyFuture<()> {
        self.other(self.keys.expire(id, at))
    }
}

/// The scopes of the active users.
#[derive(Clone, Default)]
struct Accounts {
    scopes: Arc<Mutex<HashMap<String, Vec<String>>>>,
    calls: Arc<AtomicUsize>,
    is_down: Arc<AtomicBool>,
}

impl Accounts {
    /// Sets the scopes of a user, or deletes it.
    fn set(&self, user: &str, scopes: Option<&[&str]>) {
        let scopes = scopes.map(|scopes| scopes.iter().map(|&scope| scope.to_owned()).collect());
        let mut users = self.scopes.lock().unwrap();
        match scopes {
            Some(scopes) => users.insert(user.to_owned(), scopes),
            None => users.remove(user),
        };
    }
}

impl KeyOwners for Accounts {
    fn find(&self, owner: &str) -> ApiKeyFuture<Option<KeyOwner>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.is_down.load(Ordering::SeqCst) {
            return down();
        }
        let scopes = self.scopes.lock().unwrap().get(owner).cloned();
        ApiKeyFuture::ready(Ok(scopes.map(KeyOwner::with_scopes)))
    }
}

/// Records the events of keys.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<String>>>);

impl Events {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Observe for Events {
    fn observed(&self, event: &Event<'_>) {
        let text = match event {
            Event::ApiKeyCreated { owner, id, .. } => format!("created {owner} {id}"),
            Event::ApiKeyUsed { owner, id, .. } => format!("used {owner} {id}"),
            Event::ApiKeyRevoked { owner, id, .. } => format!("revoked {owner} {id}"),
            _ => return,
        };
        self.0.lock().unwrap().push(text);
    }
}

/// Asserts that neither the key nor its secret is in the debug output.
fn assert_hides(value: impl Debug, key: &str) {
    let (text, secret) = (format!("{value:?} {value:#?}"), key.rsplit('_').next().unwrap());
    assert!(!text.contains(secret), "{text}");
}

/// Returns a time before now, in seconds since 1970.
fn seconds_ago(service: &Fixture, seconds: u64) -> u64 {
    service.clock.now().duration_since(UNIX_EPOCH).unwrap().as_secs() - seconds
}
