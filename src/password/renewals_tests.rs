//! Weak hashes that are replaced after logins.

use std::{
    error::Error,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::future::join_all;
use tokio::sync::{Notify, Semaphore};

use super::{
    hash::PasswordHash,
    store::{HashedUsers, StoredUser, UserStore},
    verifier::HashVerifier,
};
use crate::{
    basic::{
        credentials::BasicCredentials,
        verifier::{PasswordVerifier as _, Verdict},
    },
    observe::event::Event,
};

const PASSWORD: &str = "correct horse battery staple";
const APR1: &str = "$apr1$2D7fDbV5$Cc74gVFz9zAEge08S3ayr.";
const BCRYPT_4: &str = "$2b$04$id7e.QJpVEMszuC.BrljyuLpq4.Z4cDqXgkELJUuhwImbhaG3mNOi";
const ARGON2_64_KIB: &str = "$argon2id$v=19$m=64,t=1,p=2$6u4P5W3BRYHU4Jk1aBhSsw$ybpdgX49cJJowQF1OWy3Mmt+szk0T6jfuivHk+sLr88";

/// Accounts whose `replace_hash` a test can observe, pause and let fail.
#[derive(Clone)]
struct Accounts(Arc<State>);

struct State {
    users: HashedUsers,
    /// Replaces the stored hash just before it is compared.
    changed: Mutex<Option<PasswordHash>>,
    fails: AtomicBool,
    started: AtomicUsize,
    has_started: Notify,
    /// One permit for each call that may proceed.
    gate: Semaphore,
    has_ended: Notify,
}

impl Accounts {
    /// Creates accounts with the same password. All calls of `replace_hash` may proceed.
    fn new(hashes: &[(&str, &str)]) -> Self {
        let users = hashes.iter().fold(HashedUsers::default(), |users, (user_id, hash)| {
            let hash = PasswordHash::dangerous_parse_insecure(hash).unwrap();
            users.with(StoredUser::new(user_id, hash)).unwrap()
        });
        Self(Arc::new(State {
            users,
            changed: Mutex::default(),
            fails: AtomicBool::default(),
            started: AtomicUsize::default(),
            has_started: Notify::new(),
            gate: Semaphore::new(1_000),
            has_ended: Notify::new(),
        }))
    }

    fn hash(&self, user_id: &str) -> PasswordHash {
        self.0.users.find_now(user_id).flatten().unwrap().hash.unwrap()
    }

    fn started(&self) -> usize {
        self.0.started.load(Ordering::SeqCst)
    }
}

impl UserStore for Accounts {
    async fn find(
        &self,
        user_id: &str,
    ) -> Result<Option<StoredUser>, Box<dyn Error + Send + Sync>> {
        self.0.users.find(user_id).await
    }

    fn find_now(&self, user_id: &str) -> Option<Option<StoredUser>> {
        self.0.users.find_now(user_id)
    }

    async fn replace_hash(
        &self,
        user_id: &str,
        old: &PasswordHash,
        new: PasswordHash,
    ) -> Result<bool, Box<dyn Error + Send + Sync>> {
        self.0.started.fetch_add(1, Ordering::SeqCst);
        self.0.has_started.notify_one();
        self.0.gate.acquire().await?.forget();
        let changed = self.0.changed.lock().unwrap().take();
        if let Some(changed) = changed {
            assert!(self.0.users.replace_hash(user_id, old, changed).await?);
        }
        self.0.has_ended.notify_one();
        if self.0.fails.load(Ordering::SeqCst) {
            return Err("the accounts are read-only".into());
        }
        self.0.users.replace_hash(user_id, old, new).await
    }

    fn decoy(&self, user_id: &str) -> Option<PasswordHash> {
        self.0.users.decoy(user_id)
    }
}

/// A clock in seconds.
#[derive(Clone, Default)]
struct Seconds(Arc<AtomicU64>);

impl Seconds {
    fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    fn clock(&self) -> impl Fn() -> SystemTime + Send + Sync + 'static {
        let seconds = Arc::clone(&self.0);
        move || UNIX_EPOCH + Duration::from_secs(seconds.load(Ordering::SeqCst))
    }
}

async fn log_in(verifier: &HashVerifier<Accounts>, user_id: &str, password: &str) -> bool {
    let credentials = BasicCredentials::new(user_id, password).unwrap();
    let verdict = match verifier.verify_now(&credentials) {
        Some(verdict) => verdict,
        None => verifier.verify(credentials).await,
    };
    match verdict {
        Verdict::Verified(_) => true,
        Verdict::Invalid => false,
        Verdict::Rejected(rejection) => panic!("{rejection:?}"),
    }
}

#[tokio::test]
async fn weak_hash_of_each_kind_is_renewed_and_the_password_still_works() {
    for weak in [APR1, BCRYPT_4, ARGON2_64_KIB, PASSWORD] {
        let accounts = Accounts::new(&[("alice", weak)]);
        let verifier = HashVerifier::new(accounts.clone()).renew_hashes();
        assert!(!log_in(&verifier, "alice", "wrong").await);
        assert!(log_in(&verifier, "alice", PASSWORD).await);
        accounts.0.has_ended.notified().await;
        let renewed = accounts.hash("alice");
        assert!(renewed.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{weak}");
        assert!(!renewed.is_weak() && renewed.verify(PASSWORD));
        // The check counts for the new hash, too.
        let cached = verifier.verify_now(&BasicCredentials::new("alice", PASSWORD).unwrap());
        assert!(matches!(cached, Some(Verdict::Verified(_))), "{weak}");
        let restarted = HashVerifier::new(accounts.clone()).renew_hashes();
        assert!(log_in(&restarted, "alice", PASSWORD).await);
        assert!(!log_in(&restarted, "alice", "wrong").await);
        assert_eq!(accounts.started(), 1, "{weak}");
    }
}

#[tokio::test]
async fn hash_is_not_renewed_by_default_or_after_a_wrong_password() {
    let accounts = Accounts::new(&[("alice", BCRYPT_4)]);
    assert!(log_in(&HashVerifier::new(accounts.clone()), "alice", PASSWORD).await);
    let verifier = HashVerifier::new(accounts.clone()).renew_hashes();
    assert!(!log_in(&verifier, "alice", "wrong").await);
    // The hash of alice is also the decoy of other users.
    assert!(!log_in(&verifier, "bob", PASSWORD).await);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(accounts.started(), 0);
}

#[tokio::test]
async fn password_that_was_changed_meanwhile_is_not_overwritten() {
    let accounts = Accounts::new(&[("alice", BCRYPT_4)]);
    let changed = PasswordHash::new("changed").unwrap();
    *accounts.0.changed.lock().unwrap() = Some(changed.clone());
    let verifier = HashVerifier::new(accounts.clone()).renew_hashes();
    assert!(log_in(&verifier, "alice", PASSWORD).await);
    accounts.0.has_ended.notified().await;
    assert_eq!(accounts.hash("alice").as_str(), changed.as_str());
    // Also not by the cache.
    assert!(!log_in(&verifier, "alice", PASSWORD).await);
    assert!(log_in(&verifier, "alice", "changed").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_logins_renew_a_hash_once() {
    for ttl in [Duration::from_secs(60), Duration::ZERO] {
        let accounts = Accounts::new(&[("alice", BCRYPT_4)]);
        accounts.0.gate.forget_permits(1_000);
        let verifier = HashVerifier::new(accounts.clone()).renew_hashes().cache_ttl(ttl);
        let logins = join_all((0..64).map(|_| log_in(&verifier, "alice", PASSWORD))).await;
        assert_eq!(logins, [true; 64]);
        accounts.0.has_started.notified().await;
        // No login waits for the renewal, and none begins another one.
        for _ in 0..8 {
            assert!(log_in(&verifier, "alice", PASSWORD).await);
        }
        assert_eq!(accounts.started(), 1);
        assert!(accounts.hash("alice").is_weak());
        accounts.0.gate.add_permits(1_000);
        accounts.0.has_ended.notified().await;
        while accounts.hash("alice").is_weak() {
            tokio::task::yield_now().await;
        }
        // A login that was delayed can begin another renewal, which does not replace the new hash.
        let renewed = accounts.hash("alice");
        assert!(log_in(&verifier, "alice", PASSWORD).await);
        assert_eq!(accounts.hash("alice").as_str(), renewed.as_str());
    }
}

#[tokio::test]
async fn failed_renewal_is_reported_once_a_minute_and_a_later_login_tries_again() {
    let accounts = Accounts::new(&[("alice", BCRYPT_4)]);
    accounts.0.fails.store(true, Ordering::SeqCst);
    let (seconds, events) = (Seconds::default(), Arc::new(Mutex::new(Vec::new())));
    let recorded = Arc::clone(&events);
    let observer = move |event: &Event<'_>| recorded.lock().unwrap().push(format!("{event:?}"));
    // In this order, the later settings must reach the renewals.
    let verifier = HashVerifier::new(accounts.clone()).renew_hashes().observer(observer);
    let verifier = verifier.clock(seconds.clock());
    for (count, reports) in (1..).zip([1, 1, 2]) {
        assert!(log_in(&verifier, "alice", PASSWORD).await);
        accounts.0.has_ended.notified().await;
        assert_eq!((accounts.started(), events.lock().unwrap().len()), (count, reports));
        // Answered from the cache.
        assert!(log_in(&verifier, "alice", PASSWORD).await);
        verifier.verifications.cache.clear();
        seconds.advance(30);
    }
    let report = events.lock().unwrap()[0].clone();
    assert!(report.contains("HashRenewalFailed") && report.contains("read-only"), "{report}");
    accounts.0.fails.store(false, Ordering::SeqCst);
    assert!(log_in(&verifier, "alice", PASSWORD).await);
    accounts.0.has_ended.notified().await;
    assert!(!accounts.hash("alice").is_weak());
    assert_eq!(events.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn renewal_is_skipped_while_other_logins_use_all_permits() {
    // The second one takes far longer than the first one.
    let slow = PasswordHash::new(PASSWORD).unwrap();
    let slow = slow.as_str().replace("m=19456,t=2", "m=19456,t=1");
    let accounts = Accounts::new(&[("alice", BCRYPT_4), ("bob", &slow)]);
    let seconds = Seconds::default();
    let verifier = HashVerifier::new(accounts.clone()).permits(1).clock(seconds.clock());
    let verifier = verifier.renew_hashes();
    let (alice, bob) =
        tokio::join!(log_in(&verifier, "alice", PASSWORD), log_in(&verifier, "bob", "another"));
    assert!(alice && !bob);
    // A renewal that had waited for the permit would be done before this.
    assert!(!log_in(&verifier, "bob", "a third").await);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(accounts.started(), 0);
    assert!(accounts.hash("alice").is_weak());
    seconds.advance(60);
    assert!(log_in(&verifier, "alice", PASSWORD).await);
    accounts.0.has_ended.notified().await;
    assert!(!accounts.hash("alice").is_weak());
}

#[tokio::test]
async fn decoy_of_unknown_users_follows_a_renewed_hash() {
    let accounts = Accounts::new(&[("alice", BCRYPT_4), ("bob", APR1)]);
    let count = |hash: &PasswordHash| {
        let decoys = (0..64).map(|at| accounts.decoy(&format!("unknown {at}")).unwrap());
        decoys.filter(|decoy| decoy.as_str() == hash.as_str()).count()
    };
    let (old, other) = (accounts.hash("alice"), accounts.hash("bob"));
    let (before, others_before) = (count(&old), count(&other));
    assert_eq!(before + others_before, 64);
    let verifier = HashVerifier::new(accounts.clone()).renew_hashes();
    assert!(log_in(&verifier, "alice", PASSWORD).await);
    accounts.0.has_ended.notified().await;
    assert_eq!(count(&old), 0);
    assert_eq!((count(&accounts.hash("alice")), count(&other)), (before, others_before));
}

#[tokio::test]
async fn store_that_cannot_replace_hashes_keeps_them() {
    struct ReadOnly(HashedUsers);

    impl UserStore for ReadOnly {
        async fn find(
            &self,
            user_id: &str,
        ) -> Result<Option<StoredUser>, Box<dyn Error + Send + Sync>> {
            self.0.find(user_id).await
        }
    }

    let users = ReadOnly(HashedUsers::new([("alice", BCRYPT_4)]).unwrap());
    let old = users.find("alice").await.unwrap().unwrap().hash.unwrap();
    let new = PasswordHash::parse(ARGON2_64_KIB).unwrap();
    assert!(!users.replace_hash("alice", &old, new).await.unwrap());
}

#[tokio::test]
async fn pointers_and_trait_objects_replace_the_hash() {
    async fn replace(store: impl UserStore) -> bool {
        let old = store.find("alice").await.unwrap().unwrap().hash.unwrap();
        let new = PasswordHash::parse(ARGON2_64_KIB).unwrap();
        let is_replaced = store.replace_hash("alice", &old, new.clone()).await.unwrap();
        assert!(!store.replace_hash("alice", &old, new.clone()).await.unwrap());
        assert!(!store.replace_hash("bob", &old, new.clone()).await.unwrap());
        let stored = store.find("alice").await.unwrap().unwrap().hash.unwrap();
        is_replaced && stored.as_str() == new.as_str()
    }

    let users = || HashedUsers::new([("alice", BCRYPT_4)]).unwrap();
    assert!(replace(users()).await);
    assert!(replace(Arc::new(users())).await);
    assert!(replace(Box::new(users())).await);
    assert!(replace(Arc::new(users()) as Arc<dyn super::DynUserStore>).await);
    assert!(replace(Box::new(users()) as Box<dyn super::DynUserStore>).await);
    let original = users();
    assert!(replace(original.clone()).await, "a clone has its own hashes");
    assert!(replace(original).await);
}
