//! Tenants: issuers that are resolved at run time.

use std::{fmt, sync::Arc, time::Duration};

use http::request::Parts;
use tokio::sync::Semaphore;

use super::{
    bearer_auth::BearerAuth,
    issuers::{reject, with_unverified_issuer},
    settings::BearerSettings,
    tenant_registry::TenantRegistry,
    tenant_resolver::TenantResolver,
    verifier::{TokenVerifier, Verification, reject_bound},
};
use crate::{
    authenticate::{Authentication, Authenticator},
    clock::Clock,
    config_error::ConfigError,
    header::{Challenge, Challenges},
    jwt::error::TokenError,
    principal::{MapPrincipal, Principal},
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
///
/// # Security
///
/// An invalid token gets the same response whether its issuer is a tenant or not: the challenge of
/// `Tenants`, never that of the tenant's verifier. Someone without a valid token can still
/// recognize a tenant if its keys are unavailable (503), if its limit for the length of a token is
/// not that of `Tenants` (431), and by the time that the first lookup takes.
pub struct Tenants(BearerAuth<TenantVerifier>);

struct TenantVerifier(Arc<TenantRegistry>);

impl Tenants {
    /// Longer issuers are rejected without a lookup, so that the caches are bounded.
    const MAX_ISSUER_BYTES: usize = 1024;

    /// Creates an authenticator that resolves the issuers of tokens with `resolver`.
    ///
    /// `challenge` is for requests without credentials and for invalid tokens of any issuer. A
    /// valid token that lacks a scope gets the challenge of its tenant's verifier.
    ///
    /// # Errors
    ///
    /// Returns an error if the challenge has an `error` parameter.
    pub fn new(challenge: Challenge, resolver: impl TenantResolver) -> Result<Self, ConfigError> {
        challenge.with_param("error", "invalid_token")?;
        let registry = TenantRegistry::new(Box::new(resolver));
        let verifier = TenantVerifier(Arc::new(registry));
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
        self.configure(|registry| registry.set_capacity(capacity))
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
    /// Call this when a tenant is removed or added, after your own list of tenants has changed, to
    /// apply the change immediately. A call of the resolver that is in progress has no effect: it
    /// may have read the list before the change. Requests that wait for it get 503, and later
    /// requests call the resolver again.
    pub fn forget(&self, issuer: &str) {
        let TenantVerifier(registry) = &*self.0.verifier;
        registry.forget(issuer);
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
                    registry.resolve(&issuer).await?.verify_unconfirmed(&token).await
                })
            }
            Err(error) => Verification::ready(Err(reject(error))),
        }
    }

    /// Only numbers: there can be many tenants, and clients can choose their issuers.
    #[cfg(feature = "health")]
    fn key_health(&self) -> Vec<crate::health::component::ComponentHealth> {
        let Self(registry) = self;
        let (tenants, without_keys) = registry.count();
        let state = crate::health::component::ComponentHealth::new(None);
        vec![state.with("tenants", tenants).with("tenants_without_keys", without_keys)]
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

    #[cfg(feature = "health")]
    fn key_health(&self) -> Vec<crate::health::component::ComponentHealth> {
        self.0.key_health()
    }
}

impl fmt::Debug for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenants")
            .field("challenges", &self.0.settings.challenges)
            .finish_non_exhaustive()
    }
}
