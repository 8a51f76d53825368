use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use quick_cache::sync::Cache;
use tokio::{
    runtime::Handle,
    sync::{OnceCell, Semaphore},
    time::timeout,
};

use super::{
    issuers::{for_issuer, misconfigured, nested_settings, reject},
    tenant_resolver::{BoxError, DynTenantResolver},
    verifier::{TokenVerifier, Verification},
};
use crate::{
    clock::{self, Clock, SystemClock},
    jwt::error::TokenError,
    rejection::{Rejection, RejectionKind},
};

/// The tenants that are known, and the calls of the resolver.
pub(crate) struct TenantRegistry {
    pub(crate) resolver: Box<dyn DynTenantResolver>,
    pub(crate) ttl: Duration,
    pub(crate) max_stale: Duration,
    pub(crate) timeout: Duration,
    pub(crate) permits: Semaphore,
    pub(crate) clock: Arc<dyn Clock>,
    tenants: Cache<Arc<str>, CachedTenant>,
    /// A separate cache, so that a flood of unknown issuers does not evict tenants.
    unknown_issuers: Cache<Arc<str>, SystemTime>,
    /// Issuers for which the resolver has failed within the last second.
    failed_issuers: Cache<Arc<str>, SystemTime>,
    /// The resolutions in progress, at most one for each issuer. Their results are added to the
    /// caches under this lock, and only while the resolution is in this map. So a resolution that
    /// `forget` has removed has no effect, whatever the caches evict.
    resolutions: Mutex<HashMap<Arc<str>, Arc<Resolution>>>,
}

#[derive(Clone)]
pub(crate) struct CachedTenant {
    issuer: Arc<str>,
    verifier: Arc<dyn TokenVerifier>,
    /// A newer verifier that has no keys yet, and the time until which it is fresh.
    replacement: Option<(Arc<dyn TokenVerifier>, SystemTime)>,
    /// The time at which the resolver is called again, or `replacement` is checked again.
    fresh_until: SystemTime,
    /// The time until which the verifier is used while the resolver fails.
    usable_until: SystemTime,
}

/// A call of the resolver, for which all requests of the issuer wait.
struct Resolution {
    issuer: Arc<str>,
    /// The stale tenant that is refreshed, if any.
    stale: Option<CachedTenant>,
    result: OnceCell<Result<CachedTenant, Rejection>>,
    is_forgotten: AtomicBool,
    /// The number of requests that wait. It changes only under the lock of the map.
    waiters: AtomicUsize,
}

/// What a resolution adds to the caches.
enum Resolved {
    Tenant(CachedTenant),
    Unknown,
    Failed(Rejection),
}

impl TenantRegistry {
    /// The longest time between attempts to refresh a stale tenant.
    const RETRY_INTERVAL: Duration = Duration::from_secs(10);

    pub(crate) fn new(resolver: Box<dyn DynTenantResolver>) -> Self {
        const CAPACITY: usize = 1000;
        const PERMITS: usize = 32;
        Self {
            resolver,
            ttl: Duration::from_secs(600),
            max_stale: Duration::from_secs(3600),
            timeout: Duration::from_secs(5),
            permits: Semaphore::new(PERMITS),
            clock: Arc::new(SystemClock),
            tenants: Cache::new(CAPACITY),
            unknown_issuers: Cache::new(CAPACITY),
            failed_issuers: Cache::new(CAPACITY),
            resolutions: Mutex::default(),
        }
    }

    pub(crate) fn set_capacity(&mut self, capacity: usize) {
        self.tenants = Cache::new(capacity);
        self.unknown_issuers = Cache::new(capacity);
        self.failed_issuers = Cache::new(capacity);
    }

    /// Removes an issuer from the caches, and takes the effect from its resolution in progress.
    pub(crate) fn forget(&self, issuer: &str) {
        let mut resolutions = self.lock_resolutions();
        if let Some(resolution) = resolutions.remove(issuer) {
            resolution.is_forgotten.store(true, Ordering::Release);
        }
        self.tenants.remove(issuer);
        self.unknown_issuers.remove(issuer);
        self.failed_issuers.remove(issuer);
    }

    /// Returns the cached tenant, `Some(None)` for an issuer that is known to have none, or `None`
    /// if the resolver must be called.
    pub(crate) fn cached(&self, issuer: &str) -> Option<Option<CachedTenant>> {
        let now = self.clock.now();
        let cached = self.tenants.get(issuer);
        if let Some(tenant) = cached.filter(|tenant| self.is_before(now, tenant.fresh_until)) {
            return Some(Some(tenant));
        }
        self.unknown_issuers.get(issuer).filter(|until| self.is_before(now, *until)).map(|_| None)
    }

    /// Returns the numbers of tenants that can be used, and of those among them without keys.
    #[cfg(feature = "health")]
    pub(crate) fn count(&self) -> (usize, usize) {
        let now = self.clock.now();
        let usable = self.tenants.iter().map(|(_, tenant)| tenant);
        let usable = usable.filter(|tenant| self.is_before(now, tenant.usable_until));
        usable.fold((0, 0), |(tenants, without_keys), tenant| {
            (tenants + 1, without_keys + usize::from(!tenant.verifier.is_ready()))
        })
    }

    /// Resolves an issuer that is not cached or stale.
    ///
    /// Concurrent requests for the same issuer share one call of the resolver. If the first of them
    /// is cancelled, the next one calls it.
    pub(crate) async fn resolve(&self, issuer: &str) -> Result<CachedTenant, Rejection> {
        let waiter = match self.join(issuer) {
            Ok(waiter) => waiter,
            Err(known) => return known,
        };
        let resolution = &waiter.resolution;
        let result = resolution.result.get_or_init(|| self.run(resolution)).await;
        if resolution.is_forgotten.load(Ordering::Acquire) {
            // The tenant may have been removed after the resolver was called.
            return Err(unavailable("the tenant was forgotten while it was resolved"));
        }
        result.clone()
    }

    /// Returns the resolution of an issuer, or what another request has found out about it.
    fn join(&self, issuer: &str) -> Result<Waiter<'_>, Result<CachedTenant, Rejection>> {
        let mut resolutions = self.lock_resolutions();
        if let Some(resolution) = resolutions.get(issuer) {
            return Ok(Waiter::new(self, resolution));
        }
        if let Some(cached) = self.cached(issuer) {
            return Err(cached.ok_or_else(|| reject(TokenError::Issuer)));
        }
        let now = self.clock.now();
        let stale = self.tenants.get(issuer);
        match &stale {
            // Other requests use the old verifier until the refresh is complete.
            Some(tenant) if self.is_before(now, tenant.usable_until) => {
                let fresh_until = self.retry_at(tenant);
                let tenant = CachedTenant { fresh_until, ..tenant.clone() };
                self.tenants.insert(Arc::clone(&tenant.issuer), tenant);
            }
            Some(_) => {}
            None => {
                let failed_until = self.failed_issuers.get(issuer);
                if failed_until.is_some_and(|until| self.is_before(now, until)) {
                    return Err(Err(unavailable("the resolver failed less than 1 s ago")));
                }
            }
        }
        let issuer = Arc::<str>::from(issuer);
        let resolution = Arc::new(Resolution::new(Arc::clone(&issuer), stale));
        let waiter = Waiter::new(self, &resolution);
        resolutions.insert(issuer, resolution);
        Ok(waiter)
    }

    /// Calls the resolver, and adds its result to the caches.
    async fn run(&self, resolution: &Arc<Resolution>) -> Result<CachedTenant, Rejection> {
        let issuer = &resolution.issuer;
        let resolved = match resolution.stale.clone() {
            Some(tenant) => self.refresh(tenant).await,
            None => match self.call_resolver(issuer).await {
                Ok(Some(verifier)) => {
                    let (issuer, fresh_until) = (Arc::clone(issuer), self.after(self.ttl));
                    let tenant = CachedTenant::new(issuer, verifier, fresh_until, self.max_stale);
                    Resolved::Tenant(tenant)
                }
                Ok(None) => Resolved::Unknown,
                Err(rejection) => Resolved::Failed(rejection),
            },
        };
        let mut resolutions = self.lock_resolutions();
        let is_current = remove(&mut resolutions, resolution);
        let issuer = Arc::clone(issuer);
        match resolved {
            Resolved::Tenant(tenant) => {
                if is_current {
                    self.tenants.insert(issuer, tenant.clone());
                }
                Ok(tenant)
            }
            Resolved::Unknown => {
                if is_current {
                    self.tenants.remove(&*issuer);
                    self.unknown_issuers.insert(issuer, self.after(self.ttl));
                }
                Err(reject(TokenError::Issuer))
            }
            Resolved::Failed(rejection) => {
                if is_current && resolution.stale.is_none() {
                    self.failed_issuers.insert(issuer, self.after(Duration::from_secs(1)));
                }
                Err(rejection)
            }
        }
    }

    /// Refreshes a stale tenant.
    ///
    /// Its verifier stays in use until the replacement has keys, and while the resolver fails.
    async fn refresh(&self, mut tenant: CachedTenant) -> Resolved {
        let now = self.clock.now();
        let is_usable = self.is_before(now, tenant.usable_until);
        tenant.fresh_until = self.retry_at(&tenant);
        // The tenant may have been removed since an old replacement was resolved.
        let held = tenant.replacement.take();
        let replacement = match held.filter(|(_, until)| self.is_before(now, *until)) {
            Some(replacement) => replacement,
            None => match self.call_resolver(&tenant.issuer).await {
                Ok(Some(verifier)) => (verifier, self.after(self.ttl)),
                Ok(None) => return Resolved::Unknown,
                Err(_) if is_usable => return Resolved::Tenant(tenant),
                Err(rejection) => return Resolved::Failed(rejection),
            },
        };
        if replacement.0.is_ready() || !is_usable {
            let ((verifier, fresh_until), issuer) = (replacement, tenant.issuer);
            tenant = CachedTenant::new(issuer, verifier, fresh_until, self.max_stale);
        } else {
            tenant.replacement = Some(replacement);
        }
        Resolved::Tenant(tenant)
    }

    async fn call_resolver(
        &self,
        issuer: &str,
    ) -> Result<Option<Arc<dyn TokenVerifier>>, Rejection> {
        let permit = self.permits.try_acquire();
        let _permit = permit.map_err(|_| unavailable("too many issuers are being resolved"))?;
        if Handle::try_current().is_err() {
            return Err(unavailable(
                "resolving issuers needs a tokio runtime, and none is running",
            ));
        }
        let resolved = timeout(self.timeout, self.resolver.dyn_resolve(issuer.to_owned())).await;
        let resolved = resolved.map_err(|_| {
            unavailable(format!("the resolver took longer than {:?}", self.timeout))
        })?;
        let Some(verifier) = resolved.map_err(unavailable)? else { return Ok(None) };
        nested_settings(&*verifier).map_err(misconfigured)?;
        // A verifier of other issuers, or of any issuer, would accept tokens across tenants.
        let accepts_issuer = verifier.issuers().iter().any(|accepted| **accepted == *issuer);
        Ok(accepts_issuer.then_some(verifier))
    }

    /// Returns when a stale tenant is refreshed again, if the refresh does not complete.
    fn retry_at(&self, tenant: &CachedTenant) -> SystemTime {
        self.after(Self::RETRY_INTERVAL.min(self.ttl)).min(tenant.usable_until)
    }

    fn after(&self, duration: Duration) -> SystemTime {
        clock::saturating_add(self.clock.now(), duration)
    }

    /// Returns whether `until` is ahead of `now`. A time that is too far ahead dates from before
    /// the clock was set back, and does not count.
    fn is_before(&self, now: SystemTime, until: SystemTime) -> bool {
        clock::time_left(until, now, self.ttl + self.max_stale).is_some()
    }

    fn lock_resolutions(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Resolution>>> {
        self.resolutions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CachedTenant {
    fn new(
        issuer: Arc<str>,
        verifier: Arc<dyn TokenVerifier>,
        fresh_until: SystemTime,
        max_stale: Duration,
    ) -> Self {
        let usable_until = clock::saturating_add(fresh_until, max_stale);
        Self { issuer, verifier, replacement: None, fresh_until, usable_until }
    }

    pub(crate) fn verify_unconfirmed(&self, token: &str) -> Verification {
        let verification = self.verifier.verify_unconfirmed(token);
        for_issuer(verification, &self.issuer, |rejection| {
            match rejection.kind() {
                // Without a challenge, `Tenants` adds its own. The tenant's would show anyone that
                // the issuer is a tenant.
                RejectionKind::InvalidCredentials => rejection.without_challenges(),
                _ => rejection,
            }
        })
    }
}

impl Resolution {
    fn new(issuer: Arc<str>, stale: Option<CachedTenant>) -> Self {
        let (result, is_forgotten) = (OnceCell::new(), AtomicBool::new(false));
        Self { issuer, stale, result, is_forgotten, waiters: AtomicUsize::new(0) }
    }
}

/// Removes a resolution unless `forget` has removed it, and returns whether it was there.
fn remove(
    resolutions: &mut HashMap<Arc<str>, Arc<Resolution>>,
    resolution: &Arc<Resolution>,
) -> bool {
    let current = resolutions.get(&resolution.issuer);
    let is_current = current.is_some_and(|current| Arc::ptr_eq(current, resolution));
    if is_current {
        resolutions.remove(&resolution.issuer);
    }
    is_current
}

/// A request that waits for a resolution. The last one that is cancelled removes it.
struct Waiter<'a> {
    registry: &'a TenantRegistry,
    resolution: Arc<Resolution>,
}

impl<'a> Waiter<'a> {
    /// Adds a request that waits. The caller holds the lock of the map.
    fn new(registry: &'a TenantRegistry, resolution: &Arc<Resolution>) -> Self {
        resolution.waiters.fetch_add(1, Ordering::Relaxed);
        Self { registry, resolution: Arc::clone(resolution) }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut resolutions = self.registry.lock_resolutions();
        // Not the number of references, which changes after the lock is released.
        if self.resolution.waiters.fetch_sub(1, Ordering::Relaxed) == 1 {
            remove(&mut resolutions, &self.resolution);
        }
    }
}

fn unavailable(reason: impl Into<BoxError>) -> Rejection {
    Rejection::new(RejectionKind::Unavailable).because(reason)
}

#[cfg(test)]
mod tests {
    use std::{future::pending, hint, thread};

    use super::*;
    use crate::jwt::jwt_auth::JwtAuth;

    /// Both requests can find that the other one still waits.
    #[test]
    fn resolution_is_not_kept_if_its_requests_are_cancelled_at_the_same_time() {
        const ROUNDS: usize = 100_000;
        let resolver = |_: String| pending::<Result<Option<JwtAuth>, BoxError>>();
        let registry = TenantRegistry::new(Box::new(resolver));
        let arrived = AtomicUsize::new(0);
        let meet = |meeting: usize| {
            arrived.fetch_add(1, Ordering::SeqCst);
            for spins in 0_u32.. {
                if arrived.load(Ordering::SeqCst) >= 2 * meeting {
                    break;
                }
                if spins < 200 { hint::spin_loop() } else { thread::yield_now() }
            }
        };
        let cancel = || {
            for round in 0..ROUNDS {
                let waiter = registry.join("a").ok().unwrap();
                meet(3 * round + 1);
                drop(waiter);
                meet(3 * round + 2);
                assert!(registry.lock_resolutions().is_empty(), "{round}");
                meet(3 * round + 3);
            }
        };
        thread::scope(|scope| {
            scope.spawn(cancel);
            cancel();
        });
    }
}
