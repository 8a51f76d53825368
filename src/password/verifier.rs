use std::{fmt, sync::Arc, time::Duration};

use super::{
    cache::RightAnswers,
    checks::Checks,
    hash::PasswordHash,
    pool::HashPool,
    store::{StoredUser, UserStore},
};
use crate::{
    basic::{
        credentials::BasicCredentials,
        verifier::{PasswordVerifier, Verdict},
    },
    clock::{Clock, SystemClock},
    principal::Principal,
};

/// Checks passwords against the hashes that a [`UserStore`] has, without blocking, leaking who is a user, or hashing twice
/// what was right a moment ago.
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
/// - Hashing runs on tokio's blocking threads, as many at a time as there are cores. Sixteen times as many may wait; past
///   that, callers get 503.
/// - A user who is not there costs the same hash as one who is ([`UserStore::decoy`]).
/// - A right answer is kept for 60 s, as a keyed hash of user-id, password and stored hash: a changed password, and a
///   user who was removed, are so at once. Wrong answers are never kept.
/// - Who asks the same at the same time shares one hash.
///
/// # Security
///
/// Hashes take at most as much memory as permits times the cost of one: 19 MiB each for argon2id as new hashes are made,
/// which is kept for the next. Of scrypt, an allocator may keep several times that for its threads.
///
/// Nothing here slows guessing down but the cost of the hash: see [`Throttle`](super::Throttle).
pub struct HashVerifier<S> {
    store: S,
    permits: usize,
    queue: Option<usize>,
    keep: Duration,
    entries: usize,
    clock: Arc<dyn Clock>,
    decoy: PasswordHash,
    on_weak: Option<Arc<OnWeak>>,
    checks: Arc<Checks>,
}

type OnWeak = dyn Fn(&BasicCredentials, &PasswordHash) + Send + Sync;

impl<S: UserStore> HashVerifier<S> {
    const ENTRIES: usize = 4096;
    const QUEUE_PER_PERMIT: usize = 16;
    /// argon2id at the cost of new hashes. The digest is nobody's.
    const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$dG93ZXItYXV0aC1kZWNveQ$\
                         bm9ib2R5LWhhcy10aGlzLXBhc3N3b3JkLWV2ZXItLS0";

    /// Checks the passwords of these users.
    pub fn new(store: S) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (permits, keep, entries) =
            (HashPool::default_permits(), Duration::from_secs(60), Self::ENTRIES);
        let checks = Checks::new(permits, permits * Self::QUEUE_PER_PERMIT, keep, entries, &clock);
        let decoy = PasswordHash::decoy(Self::DECOY);
        Self { store, permits, queue: None, keep, entries, clock, decoy, on_weak: None, checks }
    }

    /// How many passwords are hashed at a time: as many as there are cores, by default.
    #[must_use]
    pub fn permits(mut self, permits: usize) -> Self {
        self.permits = permits.max(1);
        self.renewed()
    }

    /// How many may wait for their turn, by default sixteen times as many as are hashed at a time. Past that, callers
    /// get 503 with `Retry-After`.
    #[must_use]
    pub fn queue(mut self, places: usize) -> Self {
        self.queue = Some(places);
        self.renewed()
    }

    /// How long a right answer is kept, 60 s by default. Zero keeps none.
    #[must_use]
    pub fn cache_ttl(mut self, time: Duration) -> Self {
        self.keep = time;
        self.renewed()
    }

    /// How many right answers are kept, 4096 by default, at about 100 bytes each.
    #[must_use]
    pub fn cache_capacity(mut self, entries: usize) -> Self {
        self.entries = entries;
        self.renewed()
    }

    /// Reads the time from here: see [`clock`](crate::clock).
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self.renewed()
    }

    /// Tells when a user has logged in whose hash [is weak](PasswordHash::is_weak). It is the moment to make a new one,
    /// since the password is there: send both to a task of yours, which may hash and store. It must not block. Store the new one
    /// only where the old one still is: the password may have been changed meanwhile.
    ///
    /// ```
    /// use tower_auth::{basic::BasicCredentials, password::{HashVerifier, PasswordHash, UserStore}};
    ///
    /// # fn f(users: impl UserStore, queue: std::sync::mpsc::SyncSender<(BasicCredentials, PasswordHash)>) {
    /// let verifier = HashVerifier::new(users).on_weak_hash(move |sent, old| {
    ///     let _ = queue.try_send((sent.clone(), old.clone())); // there will be another login
    /// });
    /// # }
    /// ```
    #[must_use]
    pub fn on_weak_hash<F>(mut self, tell: F) -> Self
    where
        F: Fn(&BasicCredentials, &PasswordHash) + Send + Sync + 'static,
    {
        self.on_weak = Some(Arc::new(tell));
        self
    }

    fn renewed(mut self) -> Self {
        let queue = self.queue.unwrap_or(self.permits.saturating_mul(Self::QUEUE_PER_PERMIT));
        self.checks = Checks::new(self.permits, queue, self.keep, self.entries, &self.clock);
        self
    }

    /// What the password is checked against, be it a user's or nobody's. Both go the same way from here, up to the answer.
    fn checked(&self, user_id: &str, user: Option<StoredUser>) -> Checked {
        match user {
            Some(StoredUser { hash: Some(hash), principal }) => {
                Checked { hash, principal: Some(principal) }
            }
            _ => {
                let decoy = self.store.decoy(user_id);
                Checked { hash: decoy.unwrap_or_else(|| self.decoy.clone()), principal: None }
            }
        }
    }

    /// Who it is, where the answer was right a moment ago.
    fn recall(&self, sent: &BasicCredentials, checked: &mut Checked) -> Option<Verdict> {
        let right: &RightAnswers = &self.checks.right;
        let known = right.has(&right.fingerprint(sent, &checked.hash));
        checked.principal.take_if(|_| known).map(Verdict::Verified)
    }

    async fn check(&self, sent: BasicCredentials) -> Verdict {
        let user = match self.store.find(sent.user_id()).await {
            Ok(user) => user,
            Err(error) => return Verdict::unavailable(error),
        };
        let mut checked = self.checked(sent.user_id(), user);
        if let Some(verdict) = self.recall(&sent, &mut checked) {
            return verdict;
        }
        let Checked { hash, principal } = checked;
        let right = match Checks::run(&self.checks, &sent, &hash, principal.is_some()).await {
            Ok(right) => right,
            Err(error) => return Verdict::unavailable(error.to_string()),
        };
        // Whatever comes of it, nobody is there but a user.
        let Some(principal) = principal.filter(|_| right) else { return Verdict::Invalid };
        if let Some(tell) = self.on_weak.as_ref().filter(|_| hash.is_weak()) {
            tell(&sent, &hash);
        }
        Verdict::Verified(principal)
    }
}

/// A user's hash, or a decoy, which has no principal.
struct Checked {
    hash: PasswordHash,
    principal: Option<Principal>,
}

impl<S: UserStore> PasswordVerifier for HashVerifier<S> {
    fn verify(&self, sent: BasicCredentials) -> impl Future<Output = Verdict> + Send {
        self.check(sent)
    }

    /// Answers what was right a moment ago, where the store knows its users without waiting.
    fn verify_now(&self, sent: &BasicCredentials) -> Option<Verdict> {
        let user = self.store.find_now(sent.user_id())?;
        self.recall(sent, &mut self.checked(sent.user_id(), user))
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
    use crate::{password::store::HashedUsers, rejection::RejectionKind};

    /// Of `password`.
    const HASH: &str = "$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe";

    /// Alice alone, and her hash, which counts. It is the decoy of all others, too.
    fn alice() -> (HashVerifier<HashedUsers>, PasswordHash) {
        let hash = PasswordHash::parse(HASH).unwrap();
        let users = HashedUsers::default().with(StoredUser::new("alice", hash.clone())).unwrap();
        (HashVerifier::new(users), hash)
    }

    fn sent(user_id: &str, password: &str) -> BasicCredentials {
        let encoded = STANDARD.encode(format!("{user_id}:{password}"));
        BasicCredentials::decode(encoded.as_bytes()).unwrap()
    }

    /// As `BasicAuth` asks.
    async fn ask(
        verifier: &HashVerifier<impl UserStore>,
        user_id: &str,
        password: &str,
    ) -> &'static str {
        let sent = sent(user_id, password);
        let verdict = match verifier.verify_now(&sent) {
            Some(verdict) => verdict,
            None => verifier.verify(sent).await,
        };
        match verdict {
            Verdict::Verified(_) => "right",
            Verdict::Invalid => "wrong",
            Verdict::Rejected(refused) => {
                assert_eq!(refused.kind(), RejectionKind::Unavailable);
                "refused"
            }
        }
    }

    #[tokio::test]
    async fn a_user_who_is_not_there_costs_one_hash_as_one_who_is_does() {
        let (verifier, hash) = alice();
        let made = || verifier.checks.right.made.swap(0, Ordering::Relaxed);
        let mut fingerprints = Vec::new();
        for (count, user_id) in (1..).zip(["alice", "bob", "alice", "bob", ""]) {
            assert_eq!(ask(&verifier, user_id, "another").await, "wrong");
            assert_eq!(hash.times_hashed(), count, "{user_id:?}");
            fingerprints.push(made());
        }
        assert!(fingerprints.iter().all(|count| *count == fingerprints[0]), "{fingerprints:?}");
        // Her password is right for nobody else, and is not kept as theirs.
        for count in 6..8 {
            assert_eq!(ask(&verifier, "bob", "password").await, "wrong");
            assert_eq!(hash.times_hashed(), count);
        }
    }

    #[tokio::test]
    async fn a_user_who_is_locked_is_answered_as_one_who_is_not_there() {
        let hash = PasswordHash::parse(HASH).unwrap();
        let users = HashedUsers::default().with(StoredUser::new("alice", hash.clone())).unwrap();
        let verifier = HashVerifier::new(users.with(StoredUser::locked("carol")).unwrap());
        for (count, user_id) in (1..).zip(["carol", "nobody", "carol"]) {
            assert_eq!(ask(&verifier, user_id, "password").await, "wrong");
            assert_eq!(hash.times_hashed(), count, "{user_id:?}");
        }
    }

    /// Or the end of a program would be no end.
    #[test]
    fn a_runtime_that_ends_meanwhile_blocks_nobody() {
        let (verifier, _) = alice();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let handle = runtime.handle().clone();
        drop(runtime);
        let _entered = handle.enter();
        for _ in 0..3 {
            let answer = ask(&verifier, "alice", "password").now_or_never();
            assert_eq!(answer, Some("refused"));
        }
    }

    #[tokio::test]
    async fn a_right_answer_is_hashed_once_and_a_wrong_one_each_time() {
        let (verifier, hash) = alice();
        for _ in 0..5 {
            assert_eq!(ask(&verifier, "alice", "password").await, "right");
        }
        assert_eq!(hash.times_hashed(), 1);
        for count in 2..5 {
            assert_eq!(ask(&verifier, "alice", "passwore").await, "wrong");
            assert_eq!(hash.times_hashed(), count);
        }
        // Wrong ones have not driven it out.
        assert!(verifier.verify_now(&sent("alice", "password")).is_some());
    }

    #[tokio::test]
    async fn a_right_answer_is_hashed_again_once_its_time_is_over() {
        let seconds = Arc::new(AtomicU64::new(0));
        let turned = Arc::clone(&seconds);
        let clock = move || UNIX_EPOCH + Duration::from_secs(turned.load(Ordering::Relaxed));
        let (verifier, hash) = alice();
        let verifier = verifier.clock(clock);
        for (now, count) in [(0, 1), (59, 1), (60, 2), (119, 2), (120, 3)] {
            seconds.store(now, Ordering::Relaxed);
            assert_eq!(ask(&verifier, "alice", "password").await, "right");
            assert_eq!(hash.times_hashed(), count, "after {now} s");
        }
        let verifier = verifier.cache_ttl(Duration::ZERO);
        for count in 4..6 {
            assert_eq!(ask(&verifier, "alice", "password").await, "right");
            assert_eq!(hash.times_hashed(), count);
        }
    }

    #[tokio::test]
    async fn who_asks_the_same_at_the_same_time_shares_one_hash() {
        let (verifier, hash) = alice();
        for (count, (user_id, password, answer)) in (1..).zip([
            ("alice", "password", "right"),
            ("alice", "another", "wrong"),
            ("bob", "another", "wrong"),
        ]) {
            let answers = join_all((0..32).map(|_| ask(&verifier, user_id, password))).await;
            assert_eq!(answers, [answer; 32]);
            assert_eq!(hash.times_hashed(), count, "{user_id:?} {password:?}");
        }
    }

    #[tokio::test]
    async fn past_the_queue_nothing_is_hashed_and_places_come_back() {
        let (verifier, hash) = alice();
        let verifier = verifier.permits(1).queue(2);
        for round in 1..4 {
            // Users and others alike.
            let passwords: Vec<_> = (0..8).map(|at| format!("{round} {at}")).collect();
            let ask_each = passwords.iter().zip(["alice", "bob"].into_iter().cycle());
            let answers = join_all(ask_each.map(|(sent, id)| ask(&verifier, id, sent))).await;
            assert_eq!(answers[..3], ["wrong"; 3]);
            assert_eq!(answers[3..], ["refused"; 5]);
            assert_eq!(hash.times_hashed(), round * 3);
        }
    }

    #[tokio::test]
    async fn who_goes_away_takes_no_permit_along() {
        let (verifier, hash) = alice();
        let verifier = verifier.permits(1).queue(0);
        for round in 1..4 {
            let password = format!("another {round}");
            let gone = ask(&verifier, "alice", &password).now_or_never();
            assert_eq!(gone, None);
            assert_eq!(ask(&verifier, "alice", "password").await, "refused");
            // The hash goes on. Whoever asks the same has its answer.
            assert_eq!(ask(&verifier, "alice", &password).await, "wrong");
            assert_eq!(hash.times_hashed(), round);
        }
        assert_eq!(ask(&verifier, "alice", "password").await, "right");
    }
}
