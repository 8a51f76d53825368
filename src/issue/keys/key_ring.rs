use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use jsonwebtoken::Algorithm;
use tokio::sync::Semaphore;

use super::{
    document::KeyDocument,
    key_info::KeyInfo,
    keys_error::KeysError,
    place::{Found, Place, on_blocking_thread},
    schedule::{KeySchedule, RETAIN_MARGIN},
    signing_keys::SigningKeys,
    snapshot::{Snapshot, unix_seconds},
};
use crate::{
    clock::Clock,
    config_error::ConfigError,
    later::Later,
    observe::{event::Event, observer::Observer},
    store::sealed_store::SealedStore,
};

/// Keys that were read longer ago are read again before they are used.
const MAX_AGE: Duration = Duration::from_secs(60);
/// How much longer they are used while another request reads them. A key that was removed could
/// otherwise be used by all requests that arrive after a pause.
const MAX_OVERLAP: Duration = Duration::from_secs(5);
/// Keys are used for no longer than this while they cannot be read.
const MAX_OUTAGE: Duration = Duration::from_secs(12 * 60 * 60);
/// The time between two reads during an outage.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How often a change is tried while other instances make changes as well.
const MAX_ATTEMPTS: usize = 10;
/// The leeway for `exp` in services that verify the tokens, at most.
const MAX_LEEWAY: u64 = 300;

/// The keys of a running issuer. Clones share them.
#[derive(Clone)]
pub(crate) struct KeyRing(Arc<Ring>);

/// What an issuer tells its keys.
pub(crate) struct KeyRingConfig<'a> {
    pub(crate) keys: SigningKeys,
    pub(crate) store: &'a SealedStore,
    pub(crate) issuer: &'a str,
    /// The lifetime of access tokens.
    pub(crate) access: Duration,
    /// The longest lifetime of a login.
    pub(crate) absolute: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) observer: Observer,
}

struct Ring {
    keys: SigningKeys,
    place: Place,
    signing: KeySchedule,
    mac: KeySchedule,
    /// How long keys are used while they cannot be read.
    max_outage: Duration,
    clock: Arc<dyn Clock>,
    observer: Observer,
    last_read: ArcSwapOption<LastRead>,
    /// Held by the one request that reads.
    turn: Semaphore,
    attempt: Mutex<Attempt>,
    /// Whether another algorithm was looked for.
    is_started: AtomicBool,
}

/// What was read last.
struct LastRead {
    document: KeyDocument,
    snapshot: Arc<Snapshot>,
    /// When, in monotonic time.
    at: Duration,
    /// When the keys change next, in seconds since 1970.
    next_change: u64,
}

/// The last attempt to read.
#[derive(Default)]
struct Attempt {
    /// How many attempts have ended.
    ended: u64,
    /// When another one may start, after a failure.
    retry_at: Option<Duration>,
    error: Option<KeysError>,
}

/// The keys to publish, and how long they may be cached.
pub(crate) struct PublishedKeys {
    pub(crate) jwks: Bytes,
    pub(crate) max_age: Duration,
}

impl KeyRing {
    pub(crate) fn new(config: KeyRingConfig<'_>) -> Result<Self, ConfigError> {
        let KeyRingConfig { keys, store, issuer, access, absolute, clock, observer } = config;
        keys.check(access)?;
        let place = match keys.file() {
            Some(path) => Place::file(path.to_owned())?,
            None => Place::store(store.clone(), issuer),
        };
        let (rotate_after, publish_ahead) = keys.rotation();
        let schedule = |algorithm, retain| {
            KeySchedule::new(algorithm, rotate_after, publish_ahead, retain + RETAIN_MARGIN)
        };
        // A fixed key is not in the document, so the algorithm is not used.
        let algorithm = keys.generated().unwrap_or(Algorithm::EdDSA);
        Ok(Self(Arc::new(Ring {
            signing: schedule(algorithm, access.as_secs() + MAX_LEEWAY),
            mac: schedule(Algorithm::HS256, absolute.as_secs()),
            max_outage: (publish_ahead / 2).min(MAX_OUTAGE),
            keys,
            place,
            clock,
            observer,
            last_read: ArcSwapOption::empty(),
            turn: Semaphore::new(1),
            attempt: Mutex::default(),
            is_started: AtomicBool::new(false),
        })))
    }

    /// Returns the keys without reading them, unless they are unknown or too old.
    pub(crate) fn cached(&self) -> Option<Arc<Snapshot>> {
        self.0.usable().map(|last| Arc::clone(&last.snapshot))
    }

    /// Returns the keys. Reads them first if they were read more than a minute ago.
    pub(crate) fn current(&self) -> Later<Result<Arc<Snapshot>, KeysError>> {
        self.refresh_if_older_than(MAX_AGE)
    }

    /// Returns the keys. Reads them first if they were read longer ago.
    pub(crate) fn refresh_if_older_than(
        &self,
        age: Duration,
    ) -> Later<Result<Arc<Snapshot>, KeysError>> {
        self.0.at_most(age).map(|last| last.map(|last| Arc::clone(&last.snapshot)))
    }

    /// Returns the error of the last attempt to read the keys, if it failed.
    pub(crate) fn last_failure(&self) -> Option<KeysError> {
        self.0.attempt().error.clone()
    }

    /// Returns the JWK set that verifies within this process, which can contain secrets.
    pub(crate) async fn verification_jwks(&self) -> Result<Bytes, KeysError> {
        let last = self.0.at_most(Duration::from_secs(1)).await?;
        Ok(last.snapshot.verification_jwks())
    }

    /// Returns how long the keys may be used within this process if they cannot be read.
    pub(crate) fn max_outage(&self) -> Duration {
        self.0.max_outage
    }

    /// Returns the keys to publish.
    pub(crate) fn published(&self) -> Later<Result<PublishedKeys, KeysError>> {
        let ring = Arc::clone(&self.0);
        self.0.at_most(MAX_AGE).map(move |last| {
            let last = last?;
            let until_change = last.next_change.saturating_sub(ring.now());
            let (_, publish_ahead) = ring.keys.rotation();
            let max_age = (publish_ahead / 4).min(Duration::from_secs(600));
            let max_age = max_age.min(Duration::from_secs(until_change));
            Ok(PublishedKeys { jwks: last.snapshot.jwks(), max_age })
        })
    }

    /// Returns whether the signing key does not rotate.
    pub(crate) fn is_fixed(&self) -> bool {
        self.0.keys.fixed().is_some()
    }

    /// Makes the successor of the signing key the active one, and creates a new successor.
    pub(crate) async fn rotate(&self) -> Result<(), KeysError> {
        let signing = self.0.signing;
        let rotate = move |document: &mut KeyDocument, now| {
            signing.rotate(&mut document.signing, now)?;
            Ok(true)
        };
        self.0.change(rotate).await?;
        Ok(())
    }

    /// Drops a key now. Returns whether there was one with this id.
    pub(crate) async fn remove(&self, id: &str) -> Result<bool, KeysError> {
        let (signing, mac, id) = (self.0.signing, self.0.mac, id.to_owned());
        let remove = move |document: &mut KeyDocument, now| {
            Ok(signing.remove(&mut document.signing, &id, now)?
                || mac.remove(&mut document.mac, &id, now)?)
        };
        let mut was_removed = false;
        // Until it is not found, because another process may have restored it.
        for _ in 0..MAX_ATTEMPTS {
            if !self.0.change(remove.clone()).await? {
                return Ok(was_removed);
            }
            was_removed = true;
        }
        Err(too_many_changes())
    }

    /// Describes all keys.
    pub(crate) async fn list(&self) -> Result<Vec<KeyInfo>, KeysError> {
        Ok(self.0.at_most(Duration::ZERO).await?.snapshot.list())
    }
}

impl Ring {
    fn now(&self) -> u64 {
        unix_seconds(self.clock.now())
    }

    /// Returns the keys if they are not too old to be used.
    fn usable(&self) -> Option<Arc<LastRead>> {
        self.within(self.max_outage)
    }

    fn within(&self, age: Duration) -> Option<Arc<LastRead>> {
        let last = self.last_read.load_full()?;
        (self.clock.elapsed().saturating_sub(last.at) <= age).then_some(last)
    }

    fn at_most(self: &Arc<Self>, age: Duration) -> Later<Result<Arc<LastRead>, KeysError>> {
        // With an age of zero, the caller asks for a read, also if the clock stands still.
        match self.within(age).filter(|_| !age.is_zero()) {
            Some(last) => Later::ready(Ok(last)),
            None => {
                let ring = Arc::clone(self);
                Later::pending(async move { ring.read_in_turn(age).await })
            }
        }
    }

    /// Reads the keys, unless another request does so. Requests that have keys which were due only
    /// now do not wait for it. After a failure, nothing is read for a few seconds.
    async fn read_in_turn(&self, age: Duration) -> Result<Arc<LastRead>, KeysError> {
        let ended_before = self.attempt().ended;
        let usable = self.usable().filter(|_| !age.is_zero());
        // During an outage, they do not wait either.
        let can_overlap = self.within(MAX_AGE + MAX_OVERLAP).is_some() || self.has_failed();
        let _turn = match (self.turn.try_acquire(), &usable) {
            (Ok(turn), _) => turn,
            (Err(_), Some(usable)) if can_overlap => return Ok(Arc::clone(usable)),
            // The semaphore is never closed.
            (Err(_), _) => self.turn.acquire().await.map_err(|_| too_many_changes())?,
        };
        // Another request may have read while this one waited.
        if let Some(error) = self.failure_since(ended_before, usable.is_some()) {
            return usable.ok_or(error);
        }
        if self.attempt().ended != ended_before
            && let Some(last) = self.within(age)
        {
            return Ok(last);
        }
        let result = self.read().await;
        let mut attempt = self.attempt();
        attempt.ended += 1;
        attempt.error = result.as_ref().err().cloned();
        let retry_at = || self.clock.elapsed() + RETRY_AFTER;
        attempt.retry_at = result.is_err().then(retry_at);
        drop(attempt);
        match result {
            Err(error) => self.usable().filter(|_| !age.is_zero()).ok_or(error),
            read => read,
        }
    }

    /// Returns the error of the last attempt, if it ended after this one began, or if it is too
    /// early for another one.
    fn failure_since(&self, ended_before: u64, can_wait: bool) -> Option<KeysError> {
        let attempt = self.attempt();
        let error = attempt.error.clone()?;
        let is_early = attempt.retry_at.is_some_and(|at| self.clock.elapsed() < at);
        (attempt.ended != ended_before || (can_wait && is_early)).then_some(error)
    }

    /// Reads the keys, and makes the changes whose time has come.
    async fn read(&self) -> Result<Arc<LastRead>, KeysError> {
        for _ in 0..MAX_ATTEMPTS {
            let found = self.find().await?;
            let now = self.now();
            let document = match &found {
                Some(found) => found.document.clone(),
                None => KeyDocument::empty(),
            };
            let (document, is_changed) = self.apply(document, now, self.advance()).await?;
            if !is_changed {
                return self.adopt(document, now);
            }
            match (self.place.write(found.as_ref(), &document).await, found) {
                (Ok(true), _) => return self.adopt(document, now),
                (Ok(false), _) => {}
                // The keys that were read are still good, for example if the store is full.
                (Err(_), Some(found)) => return self.adopt(found.document, now),
                (Err(error), None) => return Err(error),
            }
        }
        Err(too_many_changes())
    }

    /// Reads the document. It is an error if one of its keys is damaged, so that a document that
    /// cannot be used is not replaced.
    async fn find(&self) -> Result<Option<Found>, KeysError> {
        let found = self.place.read().await?;
        if let Some(found) = &found {
            self.load(&found.document)?;
        }
        Ok(found)
    }

    /// Returns the keys of a document.
    fn load(&self, document: &KeyDocument) -> Result<Arc<Snapshot>, KeysError> {
        match self.last_read.load_full().filter(|last| last.document == *document) {
            Some(last) => Ok(Arc::clone(&last.snapshot)),
            None => Ok(Arc::new(Snapshot::load(document, &self.keys, &self.clock)?)),
        }
    }

    /// Returns the changes whose time has come.
    fn advance(&self) -> impl FnOnce(&mut KeyDocument, u64) -> Result<bool, KeysError> + use<> {
        let (signing, mac) = (self.signing, self.mac);
        let generates = self.keys.generated().is_some();
        let is_started = self.is_started.load(Ordering::Relaxed);
        move |document, now| {
            let mut is_changed = mac.advance(&mut document.mac, now)?;
            if generates {
                if !is_started {
                    is_changed |= signing.change_algorithm(&mut document.signing, now)?;
                }
                is_changed |= signing.advance(&mut document.signing, now)?;
            }
            Ok(is_changed)
        }
    }

    /// Changes a document. Returns whether there was a change.
    ///
    /// A new RSA key takes up to a second, so it is generated on a blocking thread.
    async fn apply(
        &self,
        mut document: KeyDocument,
        now: u64,
        change: impl FnOnce(&mut KeyDocument, u64) -> Result<bool, KeysError> + Send + 'static,
    ) -> Result<(KeyDocument, bool), KeysError> {
        let apply = move || {
            let is_changed = change(&mut document, now)?;
            Ok((document, is_changed))
        };
        match self.signing.algorithm {
            Algorithm::RS256 => on_blocking_thread(apply).await,
            _ => apply(),
        }
    }

    /// Makes a change, and reads the keys again if another instance makes one at the same time.
    /// Returns whether there was a change.
    async fn change(
        &self,
        change: impl Fn(&mut KeyDocument, u64) -> Result<bool, KeysError> + Clone + Send + 'static,
    ) -> Result<bool, KeysError> {
        let _turn = self.turn.acquire().await.map_err(|_| too_many_changes())?;
        for _ in 0..MAX_ATTEMPTS {
            self.read().await?;
            let Some(found) = self.find().await? else { continue };
            let now = self.now();
            let (document, is_changed) =
                self.apply(found.document.clone(), now, change.clone()).await?;
            if !is_changed {
                return Ok(false);
            }
            if self.place.write(Some(&found), &document).await? {
                self.adopt(document, now)?;
                return Ok(true);
            }
        }
        Err(too_many_changes())
    }

    /// Uses a document from now on.
    fn adopt(&self, document: KeyDocument, now: u64) -> Result<Arc<LastRead>, KeysError> {
        let before = self.last_read.load_full();
        let snapshot = self.load(&document)?;
        let active = snapshot.active_signing()?.id.clone();
        let next_change = match self.keys.generated() {
            Some(_) => self.signing.next_change(&document.signing, now),
            None => u64::MAX,
        };
        let at = self.clock.elapsed();
        let last = Arc::new(LastRead { document, snapshot, at, next_change });
        self.last_read.store(Some(Arc::clone(&last)));
        self.is_started.store(true, Ordering::Relaxed);
        let before = before.as_deref().map(|before| &before.document);
        if before != Some(&last.document) {
            self.report(before, &last.document, &active);
        }
        Ok(last)
    }

    fn report(&self, before: Option<&KeyDocument>, after: &KeyDocument, active: &str) {
        let missing_in = |other: Option<&KeyDocument>, keys: &KeyDocument| -> Vec<String> {
            let is_known = |id: &&str| other.is_some_and(|other| other.ids().any(|it| it == *id));
            keys.ids().filter(|id| !is_known(id)).map(str::to_owned).collect()
        };
        let added = missing_in(before, after);
        let removed = before.map(|before| missing_in(Some(after), before)).unwrap_or_default();
        let event = Event::SigningKeysChanged { active, added: &added, removed: &removed };
        self.observer.observe(&event);
    }

    /// Returns whether the last attempt to read failed.
    fn has_failed(&self) -> bool {
        self.attempt().error.is_some()
    }

    fn attempt(&self) -> MutexGuard<'_, Attempt> {
        self.attempt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_many_changes() -> KeysError {
    KeysError::new("the signing keys were changed too often at the same time")
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("keys", &self.0.keys).finish_non_exhaustive()
    }
}
