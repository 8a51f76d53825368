use std::{fmt, sync::Arc, time::Duration};

use super::{
    decoy::default_decoy,
    hash::PasswordHash,
    pool::{HashError, HashPool},
    renewals::Renewals,
    store::{StoredUser, UserStore},
    verifications::Verifications,
};
use crate::{
    basic::{
        credentials::BasicCredentials,
        verifier::{PasswordVerifier, Verdict},
    },
    clock::{Clock, SystemClock},
    later::BoxFuture,
    observe::{observe::Observe, observer::Observer},
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
    store: Arc<S>,
    permits: usize,
    queue: Option<usize>,
    cache_ttl: Duration,
    cache_capacity: usize,
    clock: Arc<dyn Clock>,
    decoy: PasswordHash,
    on_weak_hash: Option<Arc<OnWeakHash>>,
    observer: Observer,
    renewals: Option<Arc<Renewals<S>>>,
    pub(crate) verifications: Arc<Verifications>,
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
            store: Arc::new(store),
            permits,
            queue: None,
            cache_ttl,
            cache_capacity,
            clock,
            decoy: default_decoy(),
            on_weak_hash: None,
            observer: Observer::default(),
            renewals: None,
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

    /// Sets how many successful checks are cached. The default is 4096, the minimum 1. An entry
    /// takes about 100 bytes. To disable the cache, set a [`cache_ttl`](Self::cache_ttl) of zero.
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

    /// Replaces the hash of a user after a successful login if it
    /// [is weak](PasswordHash::is_weak), by the password's [new hash](PasswordHash::new).
    ///
    /// The store must implement [`replace_hash`](UserStore::replace_hash). The login does not wait
    /// for it: the password is hashed again on a blocking thread after the response was determined.
    /// If all permits are in use by other logins, or the store fails, a later login tries again,
    /// which is one that is not answered from the cache. A failure is reported to the
    /// [observer](Self::observer).
    ///
    /// ```
    /// use tower_auth::password::{HashVerifier, HashedUsers};
    ///
    /// # let md5 = "$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe";
    /// let users = HashedUsers::new([("alice", md5)])?;
    /// let verifier = HashVerifier::new(users).renew_hashes();
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    ///
    /// # Security
    ///
    /// Users who do not log in keep their weak hashes. Once most hashes were renewed, reset the
    /// passwords of the others.
    ///
    /// While some hashes are weak, an unknown user must not always get a decoy of one kind, because
    /// response times would reveal which users exist. See [`UserStore::decoy`]. [`HashedUsers`]
    /// handles it.
    ///
    /// [`HashedUsers`]: super::HashedUsers
    #[must_use]
    pub fn renew_hashes(mut self) -> Self {
        self.renewals = Some(self.new_renewals());
        self
    }

    /// Sets the observer of hashes that could not be [renewed](Self::renew_hashes). The default is
    /// the [default observer](crate::observe::set_default).
    ///
    /// ```
    /// use tower_auth::{observe::Event, password::{HashVerifier, UserStore}};
    ///
    /// # fn f(users: impl UserStore) {
    /// let verifier = HashVerifier::new(users).renew_hashes().observer(|event: &Event<'_>| {
    ///     if let Event::HashRenewalFailed { error, .. } = event {
    ///         eprintln!("cannot replace a weak hash: {error}");
    ///     }
    /// });
    /// # }
    /// ```
    #[must_use]
    pub fn observer(mut self, observer: impl Observe + 'static) -> Self {
        self.observer = self.observer.with_observer(observer);
        self.rebuild()
    }

    /// Sets a callback for successful logins of users whose hash [is weak](PasswordHash::is_weak).
    ///
    /// It is for a store to which [`renew_hashes`](Self::renew_hashes) cannot write, for example to
    /// tell the user or another service. The callback must not block. Store a new hash only if the
    /// stored hash is still the old one, because the user may have changed the password in the
    /// meantime.
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
        self.renewals = self.renewals.is_some().then(|| self.new_renewals());
        self
    }

    fn new_renewals(&self) -> Arc<Renewals<S>> {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        Arc::new(Renewals::new(store, self.observer.clone(), clock))
    }

    /// Returns what replaces the hash after a successful login, if it is weak.
    fn renewal(
        &self,
        credentials: &BasicCredentials,
        hash: &PasswordHash,
    ) -> Option<BoxFuture<'static, ()>> {
        let renewals = Arc::clone(self.renewals.as_ref().filter(|_| hash.is_weak())?);
        let verifications = Arc::clone(&self.verifications);
        Some(Box::pin(renewals.renew(verifications, credentials.clone(), hash.clone())))
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
        let is_known = principal.is_some();
        let then = if is_known { self.renewal(&credentials, &hash) } else { None };
        let result =
            Verifications::verify(&self.verifications, &credentials, &hash, is_known, then);
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
