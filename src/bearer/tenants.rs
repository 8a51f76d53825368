//! Tenants: issuers that are resolved at run time.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::request::Parts;
use quick_cache::sync::Cache;
use tokio::{runtime::Handle, sync::Semaphore, time::timeout};

use super::{
    bearer_auth::BearerAuth,
    issuers::{misconfigured, nested_settings, reject, verify_for_issuer, with_unverified_issuer},
    settings::BearerSettings,
    tenant_resolver::{BoxError, DynTenantResolver, TenantResolver},
    verifier::{TokenVerifier, Verification, reject_bound},
};
use crate::{
    authenticate::{Authentication, Authenticator},
    clock::{self, Clock, SystemClock},
    config_error::ConfigError,
    header::{Challenge, Challenges},
    jwt::error::TokenError,
    principal::{MapPrincipal, Principal},
    rejection::{Rejection, RejectionKind},
};

/// Accepts the tokens of tenants that a [`TenantResolver`] looks up, each with its own verifier.
///
/// ```
/// use tower_auth::{Challenge, ConfigError, JwtAuth, Scheme, jwt::{Jwks, Tenants}};
///
/// # async fn is_tenant(_: &str) -> bool { true }
/// let tenants = Tenants::new(Challenge::new(Scheme::BEARER), |issuer: String| async move {
///     if !is_tenant(&issuer).await {
///         return Ok(None);
///     }
///     JwtAuth::builder(Jwks::discover(issuer)).audience("orders").build().map(Some)
/// })?;
/// # Ok::<(), ConfigError>(())
/// ```
///
/// Tokens are read from `Authorization`. To set other locations or a binding, wrap it in a
/// [`BearerAuth`].
///
/// # Limits
///
/// | setter | limits | default |
/// | --- | --- | --- |
/// | [`ttl`](Self::ttl) | how long verifiers and unknown issuers are cached | 10 minutes |
/// | [`max_stale`](Self::max_stale) | how much longer a verifier is used during an outage | 1 h |
/// | [`capacity`](Self::capacity) | cached tenants, and cached unknown issuers | 1000 each |
/// | [`timeout`](Self::timeout) | the time of a call of the resolver | 5 s |
/// | [`permits`](Self::permits) | concurrent calls of the resolver | 32 |
/// | [`max_token_bytes`](Self::max_token_bytes) | the length of a token of any tenant | 64 KiB |
///
/// After [`ttl`](Self::ttl), the resolver is called again. If it fails, or if the new verifier has
/// no keys yet, the old verifier is used for up to [`max_stale`](Self::max_stale). A new verifier
/// without keys is resolved again after each [`ttl`](Self::ttl), so that a removed tenant is
/// rejected.
///
/// The resolver runs in the tokio runtime of the request, whose timers must be enabled. Outside a
/// runtime, tokens of tenants that are not cached get 503.
///
/// Issuers longer than 1024 bytes are rejected. A failed call for a new issuer is not repeated for
/// 1 s, and a stale tenant is refreshed at most every 10 s.
pub struct Tenants(BearerAuth<TenantVerifier>);

struct TenantVerifier(Arc<TenantRegistry>);

struct TenantRegistry {
    resolver: Box<dyn DynTenantResolver>,
    ttl: Duration,
    max_stale: Duration,
    timeout: Duration,
    tenants: Cache<String, CachedTenant>,
    /// A separate cache, so that a flood of unknown issuers does not evict tenants.
    unknown_issuers: Cache<String, SystemTime>,
    /// Issuers for which the resolver has failed within the last second.
    failed_issuers: Cache<String, SystemTime>,
    permits: Semaphore,
    clock: Arc<dyn Clock>,
}

#[derive(Clone)]
struct CachedTenant {
    issuer: Arc<str>,
    verifier: Arc<dyn TokenVerifier>,
    /// A newer verifier that has no keys yet, and the time until which it is fresh.
    replacement: Option<(Arc<dyn TokenVerifier>, SystemTime)>,
    /// The time at which the resolver is called again, or `replacement` is checked again.
    fresh_until: SystemTime,
    /// The time until which the verifier is used while the resolver fails.
    usable_until: SystemTime,
}

impl Tenants {
    const CAPACITY: usize = 1000;
    const PERMITS: usize = 32;
    const TTL: Duration = Duration::from_secs(600);
    const MAX_STALE: Duration = Duration::from_secs(3600);
    const TIMEOUT: Duration = Duration::from_secs(5);
    /// The longest time between attempts to refresh a stale tenant.
    const RETRY_INTERVAL: Duration = Duration::from_secs(10);
    /// Longer issuers are rejected without a lookup, so that the caches are bounded.
    const MAX_ISSUER_BYTES: usize = 1024;

    /// Creates an authenticator that resolves the issuers of tokens with `resolver`.
    ///
    /// `challenge` is for requests without credentials and for tokens of unknown issuers.
    ///
    /// # Errors
    ///
    /// Returns an error if the challenge has an `error` parameter.
    pub fn new(challenge: Challenge, resolver: impl TenantResolver) -> Result<Self, ConfigError> {
        challenge.with_param("error", "invalid_token")?;
        let verifier = TenantVerifier(Arc::new(TenantRegistry {
            resolver: Box::new(resolver),
            ttl: Self::TTL,
            max_stale: Self::MAX_STALE,
            timeout: Self::TIMEOUT,
            tenants: Cache::new(Self::CAPACITY),
            unknown_issuers: Cache::new(Self::CAPACITY),
            failed_issuers: Cache::new(Self::CAPACITY),
            permits: Semaphore::new(Self::PERMITS),
            clock: Arc::new(SystemClock),
        }));
        Ok(Self(BearerAuth::with_settings(verifier, BearerSettings::new(challenge))))
    }

    /// Sets how long verifiers and unknown issuers are cached. The default is 10 minutes.
    ///
    /// This is also how long a tenant that was removed or added is not noticed, unless
    /// [`forget`](Self::forget) is called. The minimum is 1 s and the maximum 1 day; other values
    /// are raised or lowered to it.
    ///
    /// ```
    /// # use tower_auth::jwt::Tenants;
    /// use std::time::Duration;
    ///
    /// # fn f(tenants: Tenants) -> Tenants {
    /// tenants.ttl(Duration::from_secs(60)).capacity(10_000).max_token_bytes(128 * 1024)
    /// # }
    /// ```
    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Self {
        let ttl = ttl.clamp(Duration::from_secs(1), Duration::from_secs(86_400));
        self.configure(|registry| registry.ttl = ttl)
    }

    /// Sets how much longer than [`ttl`](Self::ttl) a verifier is used while the resolver fails or
    /// the new verifier has no keys. The default is 1 h, the maximum 7 days; higher values are
    /// lowered to it.
    #[must_use]
    pub fn max_stale(self, max_stale: Duration) -> Self {
        let max_stale = max_stale.min(Duration::from_secs(7 * 86_400));
        self.configure(|registry| registry.max_stale = max_stale)
    }

    /// Sets how many tenants are cached, and how many unknown issuers. The default is 1000 each.
    ///
    /// If there are more, the least used are evicted. The minimum is 1.
    #[must_use]
    pub fn capacity(self, capacity: usize) -> Self {
        let capacity = capacity.max(1);
        self.configure(|registry| {
            registry.tenants = Cache::new(capacity);
            registry.unknown_issuers = Cache::new(capacity);
            registry.failed_issuers = Cache::new(capacity);
        })
    }

    /// Sets how long a call of the resolver may take. The default is 5 s.
    ///
    /// After that, it counts as failed. The minimum is 100 ms and the maximum 60 s; other values
    /// are raised or lowered to it.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        let timeout = timeout.clamp(Duration::from_millis(100), Duration::from_secs(60));
        self.configure(|registry| registry.timeout = timeout)
    }

    /// Sets how many issuers are resolved at the same time. The default is 32, the minimum 1.
    ///
    /// Beyond that, callers of other issuers that are not cached get 503.
    #[must_use]
    pub fn permits(self, permits: usize) -> Self {
        let permits = permits.clamp(1, Semaphore::MAX_PERMITS);
        self.configure(|registry| registry.permits = Semaphore::new(permits))
    }

    /// Sets the maximum length of a token in bytes. The default is 64 KiB.
    ///
    /// Longer tokens are rejected with 431 before their issuer is read. The verifier of a tenant
    /// also has its own limit, which is 16 KiB for a [`JwtAuth`](crate::JwtAuth): see
    /// [`JwtAuthBuilder::max_token_bytes`](crate::jwt::JwtAuthBuilder::max_token_bytes). The lower
    /// of the two applies.
    #[must_use]
    pub fn max_token_bytes(mut self, bytes: usize) -> Self {
        Arc::make_mut(&mut self.0.settings).max_token_bytes = bytes;
        self
    }

    /// Sets the [clock](crate::clock) of the caches. Verifiers have their own clocks.
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> Self {
        self.configure(|registry| registry.clock = Arc::new(clock))
    }

    fn configure(mut self, change: impl FnOnce(&mut TenantRegistry)) -> Self {
        // `Tenants` is not `Clone`, so the `Arc`s are not shared before it serves requests.
        if let Some(TenantVerifier(registry)) = Arc::get_mut(&mut self.0.verifier)
            && let Some(registry) = Arc::get_mut(registry)
        {
            change(registry);
        }
        self
    }

    /// Removes an issuer from the caches, so that its next token calls the resolver.
    ///
    /// Call this when a tenant is removed or added, to apply the change immediately.
    pub fn forget(&self, issuer: &str) {
        let TenantVerifier(registry) = &*self.0.verifier;
        registry.tenants.remove(issuer);
        registry.unknown_issuers.remove(issuer);
    }

    /// Changes the principal of each valid token.
    ///
    /// See [`TokenVerifier::map_principal`]. The closure runs for each request, after the issuer
    /// was checked.
    ///
    /// To call [`forget`](Self::forget) later, keep the `Tenants` in an `Arc`, and map a clone of
    /// it: `BearerAuth::new(TokenVerifier::map_principal(Arc::clone(&tenants), map))`.
    ///
    /// ```
    /// # use tower_auth::{Principal, bearer::{BearerAuth, TokenVerifier}, jwt::Tenants};
    /// fn with_scopes(tokens: Tenants) -> BearerAuth<impl TokenVerifier> {
    ///     tokens.map_principal(|caller: Principal| match caller.issuer() {
    ///         Some("https://partner.example") => caller.to_builder().scopes(["partner"]).build(),
    ///         _ => caller,
    ///     })
    /// }
    /// ```
    #[must_use]
    pub fn map_principal<F>(self, map: F) -> BearerAuth<MapPrincipal<Self, F>>
    where
        F: Fn(Principal) -> Principal + Send + Sync + 'static,
    {
        BearerAuth::new(MapPrincipal::new(self, map))
    }
}

impl TokenVerifier for TenantVerifier {
    fn verify(&self, token: &str) -> Verification {
        self.verify_unconfirmed(token).map(reject_bound)
    }

    fn verify_unconfirmed(&self, token: &str) -> Verification {
        let Self(registry) = self;
        let found = with_unverified_issuer(token, |issuer| match registry.cached(issuer) {
            Some(cached) => Ok(cached),
            None if issuer.len() > Tenants::MAX_ISSUER_BYTES => Ok(None),
            None => Err(issuer.to_owned()),
        });
        match found {
            Ok(Ok(Some(tenant))) => tenant.verify_unconfirmed(token),
            Ok(Ok(None)) => Verification::ready(Err(reject(TokenError::Issuer))),
            Ok(Err(issuer)) => {
                let (registry, token) = (Arc::clone(registry), Box::<str>::from(token));
                Verification::pending(async move {
                    registry.resolve(issuer).await?.verify_unconfirmed(&token).await
                })
            }
            Err(error) => Verification::ready(Err(reject(error))),
        }
    }
}

impl Authenticator for Tenants {
    fn authenticate(&self, head: &Parts) -> Option<Authentication> {
        self.0.authenticate(head)
    }

    fn challenges(&self, head: &Parts) -> Challenges {
        self.0.challenges(head)
    }
}

impl TokenVerifier for Tenants {
    fn verify(&self, token: &str) -> Verification {
        self.0.verify(token)
    }

    fn verify_unconfirmed(&self, token: &str) -> Verification {
        self.0.verify_unconfirmed(token)
    }

    fn settings(&self) -> Option<&BearerSettings> {
        Some(&self.0.settings)
    }
}

impl TenantRegistry {
    /// Returns the cached tenant, `Some(None)` for an issuer that is known to have none, or `None`
    /// if the resolver must be called.
    fn cached(&self, issuer: &str) -> Option<Option<CachedTenant>> {
        let now = self.clock.now();
        let cached = self.tenants.get(issuer);
        if let Some(tenant) = cached.filter(|tenant| self.is_before(now, tenant.fresh_until)) {
            return Some(Some(tenant));
        }
        self.unknown_issuers.get(issuer).filter(|until| self.is_before(now, *until)).map(|_| None)
    }

    /// Resolves an issuer that is not cached or stale.
    async fn resolve(&self, issuer: String) -> Result<CachedTenant, Rejection> {
        match self.tenants.get(&issuer) {
            Some(tenant) => self.refresh(issuer, tenant).await,
            None => {
                // Concurrent requests for the same issuer share one call of the resolver.
                let resolved = self.resolve_new(&issuer);
                self.tenants.get_or_insert_async(issuer.as_str(), resolved).await
            }
        }
    }

    async fn resolve_new(&self, issuer: &str) -> Result<CachedTenant, Rejection> {
        // A request that waited for the call of another request finds a negative result here.
        if let Some(None) = self.cached(issuer) {
            return Err(reject(TokenError::Issuer));
        }
        let failed_until = self.failed_issuers.get(issuer);
        if failed_until.is_some_and(|until| self.is_before(self.clock.now(), until)) {
            return Err(unavailable("the resolver failed less than 1 s ago"));
        }
        let resolved = self.call_resolver(issuer).await;
        let verifier = resolved.inspect_err(|_| {
            let until = clock::saturating_add(self.clock.now(), Duration::from_secs(1));
            self.failed_issuers.insert(issuer.to_owned(), until);
        })?;
        let Some(verifier) = verifier else {
            self.unknown_issuers.insert(issuer.to_owned(), self.after_ttl());
            return Err(reject(TokenError::Issuer));
        };
        Ok(CachedTenant::new(issuer.into(), verifier, self.after_ttl(), self.max_stale))
    }

    /// Refreshes a stale tenant.
    ///
    /// Its verifier stays in use until the replacement has keys, and while the resolver fails.
    async fn refresh(
        &self,
        issuer: String,
        mut tenant: CachedTenant,
    ) -> Result<CachedTenant, Rejection> {
        let now = self.clock.now();
        let is_usable = self.is_before(now, tenant.usable_until);
        // Other requests use the old verifier until the refresh is complete.
        if is_usable {
            let retry_at = clock::saturating_add(now, Tenants::RETRY_INTERVAL.min(self.ttl));
            tenant.fresh_until = retry_at.min(tenant.usable_until);
            let _ = self.tenants.replace(issuer.clone(), tenant.clone(), false);
        }
        // The tenant may have been removed since an old replacement was resolved.
        let held = tenant.replacement.take();
        let replacement = match held.filter(|(_, until)| self.is_before(now, *until)) {
            Some(replacement) => Ok(Some(replacement)),
            None => {
                let resolved = self.call_resolver(&issuer).await;
                let fresh_until = self.after_ttl();
                resolved.map(|verifier| Some((verifier?, fresh_until)))
            }
        };
        match replacement {
            Ok(Some((verifier, fresh_until))) if verifier.is_ready() || !is_usable => {
                let CachedTenant { issuer, .. } = tenant;
                tenant = CachedTenant::new(issuer, verifier, fresh_until, self.max_stale);
            }
            Ok(Some(replacement)) => tenant.replacement = Some(replacement),
            Ok(None) => {
                self.tenants.remove(&issuer);
                self.unknown_issuers.insert(issuer, self.after_ttl());
                return Err(reject(TokenError::Issuer));
            }
            Err(_) if is_usable => return Ok(tenant),
            Err(rejection) => return Err(rejection),
        }
        // Not if `forget` has removed it in the meantime.
        let _ = self.tenants.replace(issuer, tenant.clone(), false);
        Ok(tenant)
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

    fn after_ttl(&self) -> SystemTime {
        clock::saturating_add(self.clock.now(), self.ttl)
    }

    /// Returns whether `until` is ahead of `now`. A time that is too far ahead dates from before
    /// the clock was set back, and does not count.
    fn is_before(&self, now: SystemTime, until: SystemTime) -> bool {
        clock::time_left(until, now, self.ttl + self.max_stale).is_some()
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

    fn verify_unconfirmed(&self, token: &str) -> Verification {
        verify_for_issuer(&*self.verifier, token, &self.issuer)
    }
}

fn unavailable(reason: impl Into<BoxError>) -> Rejection {
    Rejection::new(RejectionKind::Unavailable).because(reason)
}

impl fmt::Debug for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenants")
            .field("challenges", &self.0.settings.challenges)
            .finish_non_exhaustive()
    }
}
