//! Tenants: issuers that are resolved at run time.

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::request::Parts;
use quick_cache::sync::Cache;
use tokio::{sync::Semaphore, time::timeout};

use super::{
    bearer_auth::BearerAuth,
    issuers::{misconfigured, nested_settings, reject, verify_for_issuer, with_unverified_issuer},
    settings::BearerSettings,
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

type BoxError = Box<dyn Error + Send + Sync>;

/// Returns the verifier of an issuer, for example from a table of tenants.
///
/// Closures implement this trait: see [`Tenants`].
///
/// # Security
///
/// The issuer comes from an unverified token, so an attacker can choose it. Look it up in a list of
/// known tenants before you use it. Never fetch a URL that is derived from an issuer that is not in
/// this list.
pub trait TenantResolver: Send + Sync + 'static {
    /// The type of the verifiers, such as [`JwtAuth`](crate::JwtAuth) or `Arc<dyn TokenVerifier>`.
    type Verifier: TokenVerifier + 'static;

    /// Returns the verifier for the tokens of this issuer, or `None` if there is no such tenant.
    ///
    /// The verifier must be configured for this issuer: [`TokenVerifier::issuers`] must contain it.
    /// Otherwise, the verifier is ignored, and tokens of the issuer are rejected. A verifier with
    /// its own token location or binding is a wiring fault, and callers get 500.
    ///
    /// # Errors
    ///
    /// Returns an error if the tenant cannot be looked up, for example because a database is
    /// unavailable. Callers get 503.
    fn resolve(
        &self,
        issuer: String,
    ) -> impl Future<Output = Result<Option<Self::Verifier>, BoxError>> + Send;
}

impl<F, Q, V, E> TenantResolver for F
where
    F: Fn(String) -> Q + Send + Sync + 'static,
    Q: Future<Output = Result<Option<V>, E>> + Send,
    V: TokenVerifier + 'static,
    E: Into<BoxError>,
{
    type Verifier = V;

    async fn resolve(&self, issuer: String) -> Result<Option<V>, BoxError> {
        self(issuer).await.map_err(Into::into)
    }
}

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
/// # Caching
///
/// Verifiers are cached for 10 minutes, and so are unknown issuers: up to 1000 of each, of which
/// the least used are evicted. After 10 minutes, the resolver is called again. The old verifier
/// stays in use for up to 1 h while the new one has no keys or the resolver fails.
///
/// At most 32 issuers are resolved at the same time, for up to 5 s each. Beyond that, callers of
/// other issuers that are not cached get 503.
pub struct Tenants(BearerAuth<TenantVerifier>);

struct TenantVerifier(Arc<TenantRegistry>);

struct TenantRegistry {
    resolver: Box<dyn DynResolver>,
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
    /// A newer verifier that has no keys yet.
    replacement: Option<Arc<dyn TokenVerifier>>,
    /// The time at which the resolver is called again, or `replacement` is checked again.
    fresh_until: SystemTime,
    /// The time until which the verifier is used while the resolver fails.
    usable_until: SystemTime,
}

impl Tenants {
    const CAPACITY: usize = 1000;
    const PERMITS: usize = 32;
    const TTL: Duration = Duration::from_secs(600);
    /// How long a stale verifier is used while the resolver fails.
    const MAX_STALE: Duration = Duration::from_secs(3600);
    /// The time between attempts to refresh a stale tenant.
    const RETRY_INTERVAL: Duration = Duration::from_secs(10);
    const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
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
            tenants: Cache::new(Self::CAPACITY),
            unknown_issuers: Cache::new(Self::CAPACITY),
            failed_issuers: Cache::new(Self::CAPACITY),
            permits: Semaphore::new(Self::PERMITS),
            clock: Arc::new(SystemClock),
        }));
        Ok(Self(BearerAuth::with_settings(verifier, BearerSettings::new(challenge))))
    }

    /// Sets the [clock](crate::clock) of the caches. Verifiers have their own clocks.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        // `Tenants` is not `Clone`, so the `Arc`s are not shared before it serves requests.
        if let Some(TenantVerifier(registry)) = Arc::get_mut(&mut self.0.verifier)
            && let Some(registry) = Arc::get_mut(registry)
        {
            registry.clock = Arc::new(clock);
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
    /// To call [`forget`](Self::forget) later, share this in an `Arc`, and call
    /// [`TokenVerifier::map_principal`] of a clone of the `Arc`.
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
        if let Some(tenant) = cached.filter(|tenant| is_before(now, tenant.fresh_until)) {
            return Some(Some(tenant));
        }
        self.unknown_issuers.get(issuer).filter(|until| is_before(now, *until)).map(|_| None)
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
        if self.failed_issuers.get(issuer).is_some_and(|until| is_before(self.clock.now(), until)) {
            return Err(unavailable("the resolver failed less than 1 s ago"));
        }
        let resolved = self.call_resolver(issuer).await;
        let now = self.clock.now();
        let verifier = resolved.inspect_err(|_| {
            self.failed_issuers.insert(issuer.to_owned(), now + Duration::from_secs(1));
        })?;
        let Some(verifier) = verifier else {
            self.unknown_issuers.insert(issuer.to_owned(), now + Tenants::TTL);
            return Err(reject(TokenError::Issuer));
        };
        Ok(CachedTenant::new(issuer.into(), verifier, now))
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
        let is_usable = is_before(now, tenant.usable_until);
        // Other requests use the old verifier until the refresh is complete.
        if is_usable {
            tenant.fresh_until = now + Tenants::RETRY_INTERVAL;
            self.tenants.insert(issuer.clone(), tenant.clone());
        }
        let replacement = match tenant.replacement.take() {
            Some(replacement) => Ok(Some(replacement)),
            None => self.call_resolver(&issuer).await,
        };
        match replacement {
            Ok(Some(verifier)) if verifier.is_ready() || !is_usable => {
                tenant = CachedTenant::new(tenant.issuer, verifier, self.clock.now());
            }
            Ok(Some(verifier)) => tenant.replacement = Some(verifier),
            Ok(None) => {
                self.tenants.remove(&issuer);
                self.unknown_issuers.insert(issuer, self.clock.now() + Tenants::TTL);
                return Err(reject(TokenError::Issuer));
            }
            Err(_) if is_usable => return Ok(tenant),
            Err(rejection) => return Err(rejection),
        }
        self.tenants.insert(issuer, tenant.clone());
        Ok(tenant)
    }

    async fn call_resolver(
        &self,
        issuer: &str,
    ) -> Result<Option<Arc<dyn TokenVerifier>>, Rejection> {
        let permit = self.permits.try_acquire();
        let _permit = permit.map_err(|_| unavailable("too many issuers are being resolved"))?;
        let resolved = self.resolver.resolve_boxed(issuer.to_owned());
        let resolved = timeout(Tenants::RESOLVE_TIMEOUT, resolved).await;
        let resolved = resolved.map_err(|_| unavailable("the resolver took longer than 5 s"))?;
        let Some(verifier) = resolved.map_err(unavailable)? else { return Ok(None) };
        nested_settings(&*verifier).map_err(misconfigured)?;
        // A verifier of other issuers, or of any issuer, would accept tokens across tenants.
        let accepts_issuer = verifier.issuers().iter().any(|accepted| **accepted == *issuer);
        Ok(accepts_issuer.then_some(verifier))
    }
}

impl CachedTenant {
    fn new(issuer: Arc<str>, verifier: Arc<dyn TokenVerifier>, now: SystemTime) -> Self {
        let fresh_until = now + Tenants::TTL;
        let usable_until = fresh_until + Tenants::MAX_STALE;
        Self { issuer, verifier, replacement: None, fresh_until, usable_until }
    }

    fn verify_unconfirmed(&self, token: &str) -> Verification {
        verify_for_issuer(&*self.verifier, token, &self.issuer)
    }
}

/// Returns whether `until` is ahead of `now`. A time that is too far ahead dates from before the
/// clock was set back, and does not count.
fn is_before(now: SystemTime, until: SystemTime) -> bool {
    clock::time_left(until, now, Tenants::TTL + Tenants::MAX_STALE).is_some()
}

fn unavailable(reason: impl Into<BoxError>) -> Rejection {
    Rejection::new(RejectionKind::Unavailable).because(reason)
}

type ResolveFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Option<Arc<dyn TokenVerifier>>, BoxError>> + Send + 'a>>;

/// An object-safe [`TenantResolver`].
trait DynResolver: Send + Sync {
    fn resolve_boxed(&self, issuer: String) -> ResolveFuture<'_>;
}

impl<R: TenantResolver> DynResolver for R {
    fn resolve_boxed(&self, issuer: String) -> ResolveFuture<'_> {
        Box::pin(async move {
            let resolved = self.resolve(issuer).await?;
            Ok(resolved.map(|verifier| Arc::new(verifier) as Arc<dyn TokenVerifier>))
        })
    }
}

impl fmt::Debug for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenants")
            .field("challenges", &self.0.settings.challenges)
            .finish_non_exhaustive()
    }
}
