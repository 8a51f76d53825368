use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{runtime::Handle, sync::watch};
use zeroize::Zeroizing;

use super::{
    cache::{Fingerprint, SuccessCache},
    hash::PasswordHash,
    pool::{HashError, HashPool, HashSlot},
};
#[cfg(feature = "health")]
use crate::health::component::{ComponentHealth, Reason};
use crate::{basic::credentials::BasicCredentials, clock::Clock, later::BoxFuture};

/// Verifies passwords. Concurrent requests with equal credentials share one hash.
pub(crate) struct Verifications {
    pub(crate) pool: HashPool,
    pub(crate) cache: SuccessCache,
    in_flight: Mutex<HashMap<Fingerprint, ResultReceiver>>,
}

type VerifyResult = Result<bool, HashError>;
type ResultReceiver = watch::Receiver<Option<VerifyResult>>;

impl Verifications {
    pub(crate) fn new(
        permits: usize,
        queue: usize,
        cache_ttl: Duration,
        cache_capacity: usize,
        clock: &Arc<dyn Clock>,
    ) -> Arc<Self> {
        let cache = SuccessCache::new(random_key(), cache_capacity, cache_ttl, Arc::clone(clock));
        Arc::new(Self { pool: HashPool::new(permits, queue), cache, in_flight: Mutex::default() })
    }

    /// Returns the load of the pool and the size of the cache. A full queue is not ready.
    #[cfg(feature = "health")]
    pub(crate) fn health(&self) -> ComponentHealth {
        let (used, slots) = self.pool.load();
        let reason = (used >= slots).then_some(Reason::QueueFull);
        let state = ComponentHealth::new(reason).with("hashes", used).with("max_hashes", slots);
        state.with("cached_checks", self.cache.len())
    }

    /// Returns whether `hash` is the hash of the password in `credentials`.
    ///
    /// The hash runs in a task of its own, so it ends even if this future is dropped. A successful
    /// check is cached if `cacheable` is set, and followed by `then` if it was not in the cache.
    pub(crate) async fn verify(
        this: &Arc<Self>,
        credentials: &BasicCredentials,
        hash: &PasswordHash,
        cacheable: bool,
        then: Option<BoxFuture<'static, ()>>,
    ) -> VerifyResult {
        let fingerprint = this.cache.fingerprint(credentials, hash);
        let mut receiver =
            match Self::join_or_start(this, fingerprint, credentials, hash, cacheable, then)? {
                Verification::Cached => return Ok(true),
                Verification::InFlight(receiver) => receiver,
            };
        let result = receiver.wait_for(Option::is_some).await;
        result.ok().and_then(|result| *result).unwrap_or(Err(HashError::TaskFailed))
    }

    fn join_or_start(
        this: &Arc<Self>,
        fingerprint: Fingerprint,
        credentials: &BasicCredentials,
        hash: &PasswordHash,
        cacheable: bool,
        then: Option<BoxFuture<'static, ()>>,
    ) -> Result<Verification, HashError> {
        let mut in_flight = this.in_flight();
        if let Some(receiver) = in_flight.get(&fingerprint) {
            return Ok(Verification::InFlight(receiver.clone()));
        }
        // A verification may have ended after the caller looked into the cache.
        if this.cache.contains(&fingerprint) && cacheable {
            return Ok(Verification::Cached);
        }
        let runtime = Handle::try_current().map_err(|_| HashError::NoRuntime)?;
        let slot = this.pool.reserve(credentials.client())?;
        let (sender, receiver) = watch::channel(None);
        in_flight.insert(fingerprint, receiver.clone());
        let guard = InFlightGuard { verifications: Arc::clone(this), fingerprint };
        // A runtime that is shutting down drops the task at once, and the guard takes the lock.
        drop(in_flight);
        let (hash, password) = (hash.clone(), Zeroizing::new(credentials.password().into()));
        runtime.spawn(async move {
            let result = guard.verify(slot, hash, password, cacheable).await;
            drop(guard);
            sender.send_replace(Some(result));
            if let Some(then) = then.filter(|_| cacheable && result == Ok(true)) {
                then.await;
            }
        });
        Ok(Verification::InFlight(receiver))
    }

    fn in_flight(&self) -> MutexGuard<'_, HashMap<Fingerprint, ResultReceiver>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Verification {
    Cached,
    InFlight(ResultReceiver),
}

/// Removes a verification from those in flight when it ends, also if its task is cancelled.
struct InFlightGuard {
    verifications: Arc<Verifications>,
    fingerprint: Fingerprint,
}

impl InFlightGuard {
    async fn verify(
        &self,
        slot: HashSlot,
        hash: PasswordHash,
        password: Zeroizing<Box<str>>,
        cacheable: bool,
    ) -> VerifyResult {
        let result = slot.verify(hash, password).await;
        if cacheable && result == Ok(true) {
            self.verifications.cache.insert(self.fingerprint);
        }
        result
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.verifications.in_flight().remove(&self.fingerprint);
    }
}

/// Returns a random key.
fn random_key() -> [u8; 32] {
    let mut key = [0; 32];
    // If the system's random source fails, use the random seeds of the standard library's maps.
    if getrandom::fill(&mut key).is_err() {
        use std::hash::{BuildHasher as _, RandomState};
        for part in key.chunks_exact_mut(8) {
            part.copy_from_slice(&RandomState::new().hash_one(0).to_ne_bytes());
        }
    }
    key
}
