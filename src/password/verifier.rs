use std::{fmt, sync::Arc, time::Duration};

use super::{
    decoy::default_decoy,
    hash::PasswordHash,
    pool::{HashError, HashPool},
    store::{StoredUser, UserStore},
    verifications::Verifications,
};
use crate::{
    basic::{
        credentials::BasicCredentials,
        verifier::{PasswordVerifier, Verdict},
    },
    clock::{Clock, SystemClock},
    principal::Principal,
    rejection::{Rejection, RejectionKind},
};

/// Checks passwords against the hashes of a [`UserStore`].
///
/// ```
/// use tower_auth::{AuthenticateLayer, BasicAuth, password::{HashVerifier, Htpasswd}};
///
/// # fn f() -> Result<(), tower_auth::ConfigError> {
/// let users = Htpasswd::open("/etc/site/htpasswd")?;
/// let staff = BasicAuth::new("staff", HashVerifier::new(users))?;
/// let layer = AuthenticateLayer::new(staff);
/// # Ok(()) }
/// ```
///
/// - Hashing runs on tokio's blocking threads, by default on as many as there are cores. Up to 16
///   times as many requests wait in a queue. If the queue is full, requests get 503. With a
///   throttle, each client address has a share of the queue, so that one cannot fill it.
/// - An unknown user costs the same hash as a known user. See [`UserStore::decoy`].
/// - A successful check is cached for 60 s, as a keyed hash of user id, password and stored hash.
///   Changed passwords and removed users take effect as soon as the store reflects them. Failed
///   checks are never cached.
/// - Concurrent requests with equal credentials share one hash.
///
/// # Security
///
/// Hashes use at most as much memory as the number of permits times the cost of one hash. That is
/// 19 MiB per permit for argon2id at the cost of new hashes. The memory is kept for the next hash.
/// With scrypt, the allocator may retain several times as much for its threads.
///
/// Only the cost of the hash slows down guessing.
#[cfg_attr(
    feature = "throttle",
    doc = "Add a [`Throttle`](crate::throttle::Throttle) to limit failed logins."
)]
#[cfg_attr(
    not(feature = "throttle"),
    doc = "Add a `Throttle`, with the feature `throttle`, to limit failed logins."
)]
pub struct HashVerifier<S> {
    store: S,
    permits: usize,
    queue: Option<usize>,
    cache_ttl: Duration,
    cache_capacity: usize,
    clock: Arc<dyn Clock>,
    decoy: PasswordHash,
    on_weak_hash: Option<Arc<OnWeakHash>>,
    verifications: Arc<Verifications>,
}

type OnWeakHash = dyn Fn(&BasicCredentials, &PasswordHash) + Send + Sync;

impl<S: UserStore> HashVerifier<S> {
    const CACHE_TTL: Duration = Duration::from_secs(60);
    const CACHE_CAPACITY: usize = 4096;
    const QUEUE_PER_PERMIT: usize = 16;

    /// Creates a verifier for the users of `store`.
    pub fn new(store: S) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let permits = HashPool::default_permits();
        let (cache_ttl, cache_capacity) = (Self::CACHE_TTL, Self::CACHE_CAPACITY);
        let queue = permits * Self::QUEUE_PER_PERMIT;
        let verifications = Verifications::new(permits, queue, cache_ttl, cache_capacity, &clock);
        Self {
            store,
            permits,
            queue: None,
            cache_ttl,
            cache_capacity,
            clock,
            decoy: default_decoy(),
            on_weak_hash: None,
            verifications,
        }
    }

    /// Sets how many passwords are hashed at the same time. The default is the number of cores, and
    /// the minimum is 1.
    #[must_use]
    pub fn permits(mut self, permits: usize) -> Self {
        self.permits = permits.max(1);
        self.rebuild()
    }

    /// Sets how many hashes may wait for a permit. The default is 16 times the number of permits.
    ///
    /// If the queue is full, callers get 503 with `Retry-After`.
    #[must_use]
    pub fn queue(mut self, capacity: usize) -> Self {
        self.queue = Some(capacity);
        self.rebuild()
    }

    /// Sets how long a successful check is cached. The default is 60 s. Zero disables the cache.
    #[must_use]
    pub fn cache_ttl(mut self, ttl: Duration) -> Self {
        self.cache_ttl = ttl;
        self.rebuild()
    }

    /// Sets how many successful checks are cached. The default is 4096. An entry takes about 100
    /// bytes.
    #[must_use]
    pub fn cache_capacity(mut self, entries: usize) -> Self {
        self.cache_capacity = entries;
        self.rebuild()
    }

    /// Sets the clock. The default is [`SystemClock`]. See [`clock`](crate::clock).
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self.rebuild()
    }

    /// Sets a callback for successful logins of users whose hash [is weak](PasswordHash::is_weak).
    ///
    /// Use it to replace the hash while the password is available. The callback must not block:
    /// send both values to a task that hashes the password and stores the result. Store the new
    /// hash only if the stored hash is still the old one, because the user may have changed the
    /// password in the meantime.
    ///
    /// The callback is not called for logins that are answered from the cache.
    ///
    /// ```
    /// use tower_auth::basic::BasicCredentials;
    /// use tower_auth::password::{HashVerifier, PasswordHash, UserStore};
    ///
    /// # type Queue = std::sync::mpsc::SyncSender<(BasicCredentials, PasswordHash)>;
    /// # fn f(users: impl UserStore, queue: Queue) {
    /// let verifier = HashVerifier::new(users).on_weak_hash(move |sent, old| {
    ///     // If the queue is full, the next login tries again.
    ///     let _ = queue.try_send((sent.clone(), old.clone()));
    /// });
    /// # }
    /// ```
    #[must_use]
    pub fn on_weak_hash<F>(mut self, callback: F) -> Self
    where
        F: Fn(&BasicCredentials, &PasswordHash) + Send + Sync + 'static,
    {
        self.on_weak_hash = Some(Arc::new(callback));
        self
    }

    /// Replaces the pool and the cache after a change of their settings.
    fn rebuild(mut self) -> Self {
        let queue = self.queue.unwrap_or(self.permits.saturating_mul(Self::QUEUE_PER_PERMIT));
        let (ttl, capacity) = (self.cache_ttl, self.cache_capacity);
        self.verifications = Verifications::new(self.permits, queue, ttl, capacity, &self.clock);
        self
    }

    /// Returns the hash of the user, or a decoy if the user is unknown or locked.
    ///
    /// Both take the same path from here on, so that response times do not differ.
    fn target(&self, user_id: &str, user: Option<StoredUser>) -> Target {
        match user {
            Some(StoredUser { hash: Some(hash), principal }) => {
                Target { hash, principal: Some(principal) }
            }
            _ => {
                let decoy = self.store.decoy(user_id);
                Target { hash: decoy.unwrap_or_else(|| self.decoy.clone()), principal: None }
            }
        }
    }

    /// Returns the verdict for credentials that were checked recently.
    ///
    /// Takes the principal out of `target` if it returns a verdict.
    fn cached_verdict(
        &self,
        credentials: &BasicCredentials,
        target: &mut Target,
    ) -> Option<Verdict> {
        let cache = &self.verifications.cache;
        let hit = cache.contains(&cache.fingerprint(credentials, &target.hash));
        target.principal.take_if(|_| hit).map(Verdict::Verified)
    }

    async fn verify_password(&self, credentials: BasicCredentials) -> Verdict {
        let user = match self.store.find(credentials.user_id()).await {
            Ok(user) => user,
            Err(error) => return Verdict::unavailable(error),
        };
        let mut target = self.target(credentials.user_id(), user);
        if let Some(verdict) = self.cached_verdict(&credentials, &mut target) {
            return verdict;
        }
        let Target { hash, principal } = target;
        let result =
            Verifications::verify(&self.verifications, &credentials, &hash, principal.is_some());
        let matches = match result.await {
            Ok(matches) => matches,
            Err(HashError::ShareUsed) => return Verdict::Rejected(share_used()),
            Err(error) => return Verdict::unavailable(error.to_string()),
        };
        // A decoy has no principal, so a password that matches a decoy is invalid.
        let Some(principal) = principal.filter(|_| matches) else { return Verdict::Invalid };
        if let Some(callback) = self.on_weak_hash.as_ref().filter(|_| hash.is_weak()) {
            callback(&credentials, &hash);
        }
        Verdict::Verified(principal)
    }
}

/// Returns the rejection of a client that uses its share of the queue: 429, because the queue has
/// room for others.
fn share_used() -> Rejection {
    Rejection::new(RejectionKind::TooManyRequests)
        .with_retry_after(Duration::from_secs(1))
        .because(HashError::ShareUsed.to_string())
}

/// What a password is checked against: the hash of a user, or a decoy, which has no principal.
struct Target {
    hash: PasswordHash,
    principal: Option<Principal>,
}

impl<S: UserStore> PasswordVerifier for HashVerifier<S> {
    fn verify(&self, credentials: BasicCredentials) -> impl Future<Output = Verdict> + Send {
        self.verify_password(credentials)
    }

    /// Returns a cached verdict if the store finds its users without waiting.
    fn verify_now(&self, credentials: &BasicCredentials) -> Option<Verdict> {
        let user = self.store.find_now(credentials.user_id())?;
        self.cached_verdict(credentials, &mut self.target(credentials.user_id(), user))
    }
}

impl<S: fmt::Debug> fmt::Debug for HashVerifier<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashVerifier")
            .field("store", &self.store)
            .field("permits", &self.permits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU64, Ordering},
        time::UNIX_EPOCH,
    };

    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use futures_util::{FutureExt as _, future::join_all};

    use super::*;
    use crate::password::store::HashedUsers;

    /// The hash of `password`.
    const HASH: &str = "$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe";

    /// Returns a verifier for the user `alice`, and the hash of this user.
    ///
    /// The hash counts how often it was computed. It is also the decoy for all unknown users.
    fn alice() -> (HashVerifier<HashedUsers>, PasswordHash) {
        let hash = PasswordHash::parse(HASH).unwrap();
        let users = HashedUsers::default().with(StoredUser::new("alice", hash.clone())).unwrap();
        (HashVerifier::new(users), hash)
    }

    fn credentials(user_id: &str, password: &str) -> BasicCredentials {
        let encoded = STANDARD.encode(format!("{user_id}:{password}"));
        BasicCredentials::decode(encoded.as_bytes()).unwrap()
    }

    /// Checks a password as `BasicAuth` does.
    async fn check(
        verifier: &HashVerifier<impl UserStore>,
        user_id: &str,
        password: &str,
    ) -> &'static str {
        let credentials = credentials(user_id, password);
        let verdict = match verifier.verify_now(&credentials) {
            Some(verdict) => verdict,
            None => verifier.verify(credentials).await,
        };
        match verdict {
            Verdict::Verified(_) => "verified",
            Verdict::Invalid => "invalid",
            Verdict::Rejected(rejection) => {
                assert_eq!(rejection.kind(), RejectionKind::Unavailable);
                "unavailable"
            }
        }
    }

    #[tokio::test]
    async fn unknown_user_costs_one_hash_like_a_known_user() {
        let (verifier, hash) = alice();
        let fingerprint_count =
            || verifier.verifications.cache.fingerprint_count.swap(0, Ordering::Relaxed);
        let mut fingerprints = Vec::new();
        for (count, user_id) in (1..).zip(["alice", "bob", "alice", "bob", ""]) {
            assert_eq!(check(&verifier, user_id, "another").await, "invalid");
            assert_eq!(hash.check_count(), count, "{user_id:?}");
            fingerprints.push(fingerprint_count());
        }
        assert!(fingerprints.iter().all(|count| *count == fingerprints[0]), "{fingerprints:?}");
        // The password of the decoy is invalid for an unknown user, and is not cached.
        for count in 6..8 {
            assert_eq!(check(&verifier, "bob", "password").await, "invalid");
            assert_eq!(hash.check_count(), count);
        }
    }

    #[tokio::test]
    async fn locked_user_costs_one_hash_and_is_invalid() {
        let hash = PasswordHash::parse(HASH).unwrap();
        let users = HashedUsers::default().with(StoredUser::new("alice", hash.clone())).unwrap();
        let verifier = HashVerifier::new(users.with(StoredUser::locked("carol")).unwrap());
        for (count, user_id) in (1..).zip(["carol", "dave", "carol"]) {
            assert_eq!(check(&verifier, user_id, "password").await, "invalid");
            assert_eq!(hash.check_count(), count, "{user_id:?}");
        }
    }

    #[test]
    fn runtime_that_has_shut_down_returns_unavailable_without_blocking() {
        let (verifier, _) = alice();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let handle = runtime.handle().clone();
        drop(runtime);
        let _entered = handle.enter();
        for _ in 0..3 {
            let outcome = check(&verifier, "alice", "password").now_or_never();
            assert_eq!(outcome, Some("unavailable"));
        }
    }

    #[tokio::test]
    async fn correct_password_is_hashed_once_and_a_wrong_one_each_time() {
        let (verifier, hash) = alice();
        for _ in 0..5 {
            assert_eq!(check(&verifier, "alice", "password").await, "verified");
        }
        assert_eq!(hash.check_count(), 1);
        for count in 2..5 {
            assert_eq!(check(&verifier, "alice", "passwore").await, "invalid");
            assert_eq!(hash.check_count(), count);
        }
        // Failed checks do not evict it.
        assert!(verifier.verify_now(&credentials("alice", "password")).is_some());
    }

    #[tokio::test]
    async fn cached_check_expires_after_the_ttl() {
        let seconds = Arc::new(AtomicU64::new(0));
        let mock = Arc::clone(&seconds);
        let clock = move || UNIX_EPOCH + Duration::from_secs(mock.load(Ordering::Relaxed));
        let (verifier, hash) = alice();
        let verifier = verifier.clock(clock);
        for (now, count) in [(0, 1), (59, 1), (60, 2), (119, 2), (120, 3)] {
            seconds.store(now, Ordering::Relaxed);
            assert_eq!(check(&verifier, "alice", "password").await, "verified");
            assert_eq!(hash.check_count(), count, "after {now} s");
        }
        let verifier = verifier.cache_ttl(Duration::ZERO);
        for count in 4..6 {
            assert_eq!(check(&verifier, "alice", "password").await, "verified");
            assert_eq!(hash.check_count(), count);
        }
    }

    #[tokio::test]
    async fn equal_concurrent_checks_share_one_hash() {
        let (verifier, hash) = alice();
        for (count, (user_id, password, outcome)) in (1..).zip([
            ("alice", "password", "verified"),
            ("alice", "another", "invalid"),
            ("bob", "another", "invalid"),
        ]) {
            let outcomes = join_all((0..32).map(|_| check(&verifier, user_id, password))).await;
            assert_eq!(outcomes, [outcome; 32]);
            assert_eq!(hash.check_count(), count, "{user_id:?} {password:?}");
        }
    }

    #[tokio::test]
    async fn full_queue_returns_unavailable_without_hashing_and_slots_are_released() {
        let (verifier, hash) = alice();
        let verifier = verifier.permits(1).queue(2);
        for round in 1..4 {
            // Known and unknown users share the queue.
            let passwords: Vec<_> = (0..8).map(|at| format!("{round} {at}")).collect();
            let attempts = passwords.iter().zip(["alice", "bob"].into_iter().cycle());
            let outcomes = join_all(attempts.map(|(sent, id)| check(&verifier, id, sent))).await;
            assert_eq!(outcomes[..3], ["invalid"; 3]);
            assert_eq!(outcomes[3..], ["unavailable"; 5]);
            assert_eq!(hash.check_count(), round * 3);
        }
    }

    #[tokio::test]
    async fn dropped_check_continues_and_releases_its_permit() {
        let (verifier, hash) = alice();
        let verifier = verifier.permits(1).queue(0);
        for round in 1..4 {
            let password = format!("another {round}");
            let dropped = check(&verifier, "alice", &password).now_or_never();
            assert_eq!(dropped, None);
            assert_eq!(check(&verifier, "alice", "password").await, "unavailable");
            // The hash continues, and an equal check shares its result.
            assert_eq!(check(&verifier, "alice", &password).await, "invalid");
            assert_eq!(hash.check_count(), round);
        }
        assert_eq!(check(&verifier, "alice", "password").await, "verified");
    }
}
