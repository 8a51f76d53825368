//! Several processes that issue tokens with one store.

use std::{
    collections::HashSet,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use axum::body::Bytes;
use futures_util::future::join_all;
use tower_auth::{
    issue::{TokenIssuer, TokenPair},
    store::{SealedStore, Store, StoreFuture, StoreKey, StoreSecret, Ttl},
    test_util::principal,
};

const ROLE: &str = "TOWER_AUTH_ISSUER_ROLE";
const LOCATION: &str = "TOWER_AUTH_ISSUER_LOCATION";
const TOKEN: &str = "TOWER_AUTH_ISSUER_TOKEN";

/// A store that counts the records it replaces, and can end the process after one.
#[derive(Clone)]
struct HookedStore {
    inner: Arc<dyn Store>,
    replaced: Arc<AtomicUsize>,
    aborts: bool,
}

/// Opens the store at a location that all processes share.
pub type Open = fn(&str) -> Arc<dyn Store>;

impl HookedStore {
    fn open(open: Open, location: &str, aborts: bool) -> Self {
        Self { inner: open(location), replaced: Arc::default(), aborts }
    }

    fn issuer(&self) -> TokenIssuer {
        let secret = StoreSecret::new(*b"0123456789abcdefghijklmnopqrstuv").unwrap();
        TokenIssuer::builder()
            .issuer("https://login.example")
            .audience("orders")
            .store(SealedStore::new(self.clone(), secret))
            .build()
            .unwrap()
    }
}

impl Store for HookedStore {
    fn get(&self, keys: &[StoreKey]) -> StoreFuture<Vec<Option<Bytes>>> {
        self.inner.get(keys)
    }

    fn put(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<()> {
        self.inner.put(key, value, ttl)
    }

    fn insert(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        self.inner.insert(key, value, ttl)
    }

    fn replace(&self, key: &StoreKey, current: Bytes, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        let this = self.clone();
        let replaced = self.inner.replace(key, current, value, ttl);
        StoreFuture::pending(async move {
            let is_replaced = replaced.await?;
            if is_replaced && this.aborts {
                std::process::abort();
            }
            this.replaced.fetch_add(usize::from(is_replaced), Ordering::SeqCst);
            Ok(is_replaced)
        })
    }

    fn add(&self, keys: &[StoreKey], delta: i64, ttl: Ttl) -> StoreFuture<Vec<i64>> {
        self.inner.add(keys, delta, ttl)
    }

    fn take(&self, key: &StoreKey) -> StoreFuture<Option<Bytes>> {
        self.inner.take(key)
    }

    fn now(&self) -> StoreFuture<SystemTime> {
        self.inner.now()
    }
}

/// A process of the running test.
struct Process {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Process {
    /// Starts a process and waits until it is ready.
    fn start(test: &str, role: &str, location: &str, pair: &TokenPair) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "--nocapture", test]);
        command.env(ROLE, role).env(LOCATION, location).env(TOKEN, pair.refresh_token());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while line.trim_end() != "ready" {
            line.clear();
            assert_ne!(
                out.read_line(&mut line).unwrap(),
                0,
                "the process has ended: is {test} a test?"
            );
        }
        Self { child, out }
    }

    fn go(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    }

    /// Waits for the end. Returns what the process wrote, and whether it succeeded.
    fn finish(mut self) -> (Vec<String>, bool) {
        let mut text = String::new();
        self.out.read_to_string(&mut text).unwrap();
        let is_success = self.child.wait().unwrap().success();
        (text.lines().map(str::to_owned).collect(), is_success)
    }
}

/// What a process does. Call it in a test of its own, whose name is passed to
/// [`assert_processes_share_logins`]. In the first process, it does nothing.
pub async fn run_child(open: Open) {
    let Ok(role) = std::env::var(ROLE) else { return };
    let token = std::env::var(TOKEN).unwrap();
    let store = HookedStore::open(open, &std::env::var(LOCATION).unwrap(), role == "abort");
    let issuer = store.issuer();
    // Reads the keys and connects.
    let unknown = token.split('.').next().unwrap().to_owned() + ".0.unknown." + &"A".repeat(43);
    assert!(issuer.refresh(&*unknown).await.is_err());
    println!("\nready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let requests = (0..32).map(|_| {
        let (issuer, token) = (issuer.clone(), token.clone());
        tokio::spawn(async move { issuer.refresh(&*token).await.unwrap() })
    });
    for pair in join_all(requests).await {
        let pair = pair.unwrap();
        println!("\nrefresh={}\naccess={}", pair.refresh_token(), pair.access_token());
    }
}

/// Checks logins that several processes share, that survive the end of a process in the middle of a
/// refresh, and that survive a restart.
///
/// # Panics
///
/// If a user is logged out.
pub async fn assert_processes_share_logins(test: &str, location: &str, open: Open) {
    let store = HookedStore::open(open, location, false);
    let issuer = store.issuer();
    let alice = issuer.issue(&principal("alice").build()).await.unwrap();
    let bob = issuer.issue(&principal("bob").build()).await.unwrap();

    // 64 parallel refreshes of one token, in two processes.
    let mut processes = [0, 1].map(|_| Process::start(test, "refresh", location, &alice));
    processes.iter_mut().for_each(Process::go);
    let finished = processes.map(Process::finish);
    assert!(finished.iter().all(|(_, is_success)| *is_success), "{finished:?}");
    let lines: Vec<&String> = finished.iter().flat_map(|(lines, _)| lines).collect();
    let values = |name: &str| -> Vec<&str> {
        lines.iter().filter_map(|line| line.strip_prefix(name)).collect()
    };
    let (refresh, access) = (values("refresh="), values("access="));
    assert_eq!((refresh.len(), access.len()), (64, 64));
    let successors: HashSet<&str> = refresh.into_iter().collect();
    assert_eq!(successors.len(), 1, "{successors:?}");
    let successor = successors.into_iter().next().unwrap().to_owned();
    assert_eq!(successor.split('.').nth(1), Some("1"));
    for token in &access {
        assert!(issuer.verifier().verify(token).await.is_ok());
    }

    // A process that ends between the replacement and the response. The client tries again.
    let mut process = Process::start(test, "abort", location, &bob);
    process.go();
    let (lines, is_success) = process.finish();
    assert!(!is_success && !lines.iter().any(|line| line.starts_with("refresh=")), "{lines:?}");
    store.replaced.store(0, Ordering::SeqCst);
    let retried = issuer.refresh(bob.refresh_token()).await.unwrap();
    assert_eq!(retried.refresh_token().split('.').nth(1), Some("1"));
    assert_eq!(store.replaced.load(Ordering::SeqCst), 0, "the process replaced the record");
    assert!(issuer.verifier().verify(retried.access_token()).await.is_ok());

    // A restart: the keys are in the store, and no user has to log in again.
    drop((issuer, store));
    let issuer = HookedStore::open(open, location, false).issuer();
    for token in [alice.access_token(), access[0], retried.access_token()] {
        assert!(issuer.verifier().verify(token).await.is_ok());
    }
    for token in [&*successor, retried.refresh_token()] {
        let pair = issuer.refresh(token).await.unwrap();
        assert!(issuer.verifier().verify(pair.access_token()).await.is_ok());
    }

    // A logout in one process ends the login in others.
    let other = HookedStore::open(open, location, false).issuer();
    other.logout(alice.refresh_token()).await.unwrap();
    assert!(issuer.refresh(&*successor).await.is_err());
    for token in access {
        assert!(other.verifier().verify(token).await.is_err());
    }
    other.logout_everywhere("bob").await.unwrap();
    assert!(issuer.refresh(retried.refresh_token()).await.is_err());
    assert!(other.verifier().verify(retried.access_token()).await.is_err());
}
