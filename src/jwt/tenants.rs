//! Issuers that are known at run time only.

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
use tokio::sync::Semaphore;

use super::{JwtAuth, MAX_TOKEN_BYTES, TokenError, issuers::with_issuer, token_in};
use crate::{
    Authentication, Authenticator, Challenge, Challenges, ConfigError, Rejection, RejectionKind,
    clock::{Clock, SystemClock},
};

type BoxError = Box<dyn Error + Send + Sync>;

/// Finds the validator of an issuer, as from a table of tenants. A closure is one: see [`Tenants`].
///
/// # Security
///
/// The issuer is what a token says that nobody has verified: anybody can send any. Look it up among those that
/// you know. Never make a URL of it that is then fetched.
pub trait TenantResolver: Send + Sync + 'static {
    /// The validator of this issuer's tokens, or `None` where there is no such tenant.
    ///
    /// # Errors
    ///
    /// If nobody can tell at the moment: callers get 503.
    fn resolve(
        &self,
        issuer: String,
    ) -> impl Future<Output = Result<Option<JwtAuth>, BoxError>> + Send;
}

impl<F, Q, E> TenantResolver for F
where
    F: Fn(String) -> Q + Send + Sync + 'static,
    Q: Future<Output = Result<Option<JwtAuth>, E>> + Send,
    E: Into<BoxError>,
{
    async fn resolve(&self, issuer: String) -> Result<Option<JwtAuth>, BoxError> {
        self(issuer).await.map_err(Into::into)
    }
}

/// Accepts the tokens of tenants that are known at run time only, each under a validator of its own.
///
/// ```
/// use tower_auth::{Challenge, ConfigError, JwtAuth, Scheme, jwt::{Tenants, jwks::Jwks}};
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
/// What was resolved is remembered for 10 minutes, and so is that there is no such tenant: for up to 1000 issuers
/// each, of which those that are asked for least make room. At most 32 issuers are resolved at a time; beyond,
/// callers get 503.
pub struct Tenants(Arc<Inner>);

struct Inner {
    challenge: Challenge,
    invalid_token: Challenge,
    resolver: Box<dyn DynResolver>,
    known: Cache<String, Known>,
    /// Apart, so that a flood of names that are nobody's pushes no tenant out.
    unknown: Cache<String, SystemTime>,
    permits: Semaphore,
    clock: Arc<dyn Clock>,
}

#[derive(Clone)]
struct Known {
    validator: JwtAuth,
    until: SystemTime,
}

impl Tenants {
    const CAPACITY: usize = 1000;
    const PERMITS: usize = 32;
    const TTL: Duration = Duration::from_secs(600);
    /// No issuer is that long, and what is remembered has to be bounded.
    const MAX_ISSUER_BYTES: usize = 1024;

    /// Resolves issuers as tokens name them. Who sends nothing, or a token of no tenant, gets this challenge.
    ///
    /// # Errors
    ///
    /// If the challenge has an `error` already.
    pub fn new(challenge: Challenge, resolver: impl TenantResolver) -> Result<Self, ConfigError> {
        Ok(Self(Arc::new(Inner {
            invalid_token: challenge.with_param("error", "invalid_token")?,
            challenge,
            resolver: Box::new(resolver),
            known: Cache::new(Self::CAPACITY),
            unknown: Cache::new(Self::CAPACITY),
            permits: Semaphore::new(Self::PERMITS),
            clock: Arc::new(SystemClock),
        })))
    }

    /// Reads the time from here: see [`clock`](crate::clock). Validators have clocks of their own.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        // Nobody else has it yet: it is no `Clone`, and serves by reference.
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.clock = Arc::new(clock);
        }
        self
    }

    /// Forgets what is remembered of an issuer: at once for the tokens of a tenant that is no more.
    pub fn forget(&self, issuer: &str) {
        self.0.known.remove(issuer);
        self.0.unknown.remove(issuer);
    }
}

impl Authenticator for Tenants {
    type Future = Authentication;

    fn authenticate(&self, head: &Parts) -> Option<Authentication> {
        let inner = &self.0;
        let token = match token_in(head, MAX_TOKEN_BYTES)? {
            Ok(token) => token,
            Err(rejection) => return Some(Authentication::ready(Err(rejection))),
        };
        let found = with_issuer(token, |issuer| match inner.remembered(issuer) {
            Some(known) => Ok(known),
            None if issuer.len() > Self::MAX_ISSUER_BYTES => Ok(None),
            None => Err(issuer.to_owned()),
        });
        Some(match found {
            Ok(Ok(Some(validator))) => validator.check_within_bounds(token),
            Ok(Ok(None)) => Authentication::ready(Err(inner.refuse(TokenError::Issuer))),
            Ok(Err(issuer)) => {
                let (inner, token) = (Arc::clone(inner), token.to_vec());
                Authentication::pending(async move {
                    inner.resolve(issuer).await?.check_within_bounds(&token).await
                })
            }
            Err(error) => Authentication::ready(Err(inner.refuse(error))),
        })
    }

    fn challenges(&self, _: &Parts) -> Challenges {
        self.0.challenge.clone().into()
    }
}

impl Inner {
    /// The validator of an issuer, or that it has none, where either is remembered.
    fn remembered(&self, issuer: &str) -> Option<Option<JwtAuth>> {
        let now = self.clock.now();
        if let Some(known) = self.known.get(issuer).filter(|known| now < known.until) {
            return Some(Some(known.validator));
        }
        self.unknown.get(issuer).filter(|until| now < *until).map(|_| None)
    }

    /// Resolves an issuer, once for all who wait for it.
    async fn resolve(&self, issuer: String) -> Result<JwtAuth, Rejection> {
        let now = self.clock.now();
        if self.known.peek(issuer.as_str()).is_some_and(|known| now >= known.until) {
            self.known.remove(issuer.as_str());
        }
        let found = self.known.get_or_insert_async(issuer.as_str(), async {
            // Whoever waited for another's answer learns of a `None` here.
            if let Some(None) = self.remembered(&issuer) {
                return Err(self.refuse(TokenError::Issuer));
            }
            let permit = self.permits.try_acquire();
            let _permit = permit.map_err(|_| unavailable("too many issuers are being resolved"))?;
            let found = self.resolver.resolve_boxed(issuer.clone()).await;
            let until = self.clock.now() + Tenants::TTL;
            // A validator of other issuers, or of any, would let one tenant speak for another.
            let is_its =
                |validator: &JwtAuth| validator.issuers().iter().any(|known| **known == *issuer);
            match found.map_err(unavailable)?.filter(is_its) {
                Some(validator) => Ok(Known { validator, until }),
                None => {
                    self.unknown.insert(issuer.clone(), until);
                    Err(self.refuse(TokenError::Issuer))
                }
            }
        });
        found.await.map(|known| known.validator)
    }

    fn refuse(&self, error: TokenError) -> Rejection {
        Rejection::new(RejectionKind::InvalidCredentials)
            .with_challenge(self.invalid_token.clone())
            .because(error)
    }
}

fn unavailable(reason: impl Into<BoxError>) -> Rejection {
    Rejection::new(RejectionKind::Unavailable).because(reason)
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Option<JwtAuth>, BoxError>> + Send + 'a>>;

trait DynResolver: Send + Sync {
    fn resolve_boxed(&self, issuer: String) -> Answer<'_>;
}

impl<R: TenantResolver> DynResolver for R {
    fn resolve_boxed(&self, issuer: String) -> Answer<'_> {
        Box::pin(self.resolve(issuer))
    }
}

impl fmt::Debug for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenants").field("challenge", &self.0.challenge).finish_non_exhaustive()
    }
}
