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
use tokio::{sync::Semaphore, time::timeout};

use super::{
    issuers::with_issuer,
    token::{MAX_TOKEN_BYTES, token_in},
};
use crate::{
    authenticate::{Authentication, Authenticator},
    clock::{self, Clock, SystemClock},
    config_error::ConfigError,
    header::{Challenge, Challenges},
    jwt::{error::TokenError, jwt_auth::JwtAuth},
    rejection::{Rejection, RejectionKind},
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
/// What was resolved is remembered for 10 minutes, and so is that there is no such tenant: for up to 1000 issuers
/// each, of which those that are asked for least make room. A tenant is then asked for again, and served on with the
/// keys that it has until the new validator has its own, and for up to 1 h while the resolver fails. At most 32
/// issuers are resolved at a time, for up to 5 s each; beyond, callers of other new ones get 503.
pub struct Tenants(Arc<Inner>);

struct Inner {
    challenges: Challenges,
    invalid_token: Challenges,
    resolver: Box<dyn DynResolver>,
    known: Cache<String, Known>,
    /// Apart, so that a flood of names that are nobody's pushes no tenant out.
    unknown: Cache<String, SystemTime>,
    /// Issuers of which nobody could tell a moment ago.
    failed: Cache<String, SystemTime>,
    permits: Semaphore,
    clock: Arc<dyn Clock>,
}

#[derive(Clone)]
struct Known {
    validator: JwtAuth,
    /// What the resolver gave since, whose keys are not there yet.
    next: Option<JwtAuth>,
    /// When to ask the resolver again, or to look at `next`.
    until: SystemTime,
    /// How long it serves where the resolver cannot tell.
    at_most_until: SystemTime,
}

impl Tenants {
    const CAPACITY: usize = 1000;
    const PERMITS: usize = 32;
    const TTL: Duration = Duration::from_secs(600);
    /// How long a tenant is served on while the resolver fails.
    const MAX_STALE: Duration = Duration::from_secs(3600);
    /// Between two tries while something is not there yet.
    const RETRY: Duration = Duration::from_secs(10);
    const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
    /// No issuer is that long, and what is remembered has to be bounded.
    const MAX_ISSUER_BYTES: usize = 1024;

    /// Resolves issuers as tokens name them. Who sends nothing, or a token of no tenant, gets this challenge.
    ///
    /// # Errors
    ///
    /// If the challenge has an `error` already.
    pub fn new(challenge: Challenge, resolver: impl TenantResolver) -> Result<Self, ConfigError> {
        Ok(Self(Arc::new(Inner {
            invalid_token: challenge.with_param("error", "invalid_token")?.into(),
            challenges: challenge.into(),
            resolver: Box::new(resolver),
            known: Cache::new(Self::CAPACITY),
            unknown: Cache::new(Self::CAPACITY),
            failed: Cache::new(Self::CAPACITY),
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
            Ok(Ok(Some(validator))) => validator.authenticate_token(token),
            Ok(Ok(None)) => Authentication::ready(Err(inner.refuse(TokenError::Issuer))),
            Ok(Err(issuer)) => {
                let (inner, token) = (Arc::clone(inner), token.to_vec());
                Authentication::pending(async move {
                    inner.resolve(issuer).await?.authenticate_token(&token).await
                })
            }
            Err(error) => Authentication::ready(Err(inner.refuse(error))),
        })
    }

    fn into_ready(future: Self::Future) -> Result<<Self::Future as Future>::Output, Self::Future> {
        future.into_ready()
    }

    fn challenges(&self, _: &Parts) -> Challenges {
        self.0.challenges.clone()
    }
}

impl Inner {
    /// The validator of an issuer, or that it has none, where either is remembered.
    fn remembered(&self, issuer: &str) -> Option<Option<JwtAuth>> {
        let now = self.clock.now();
        if let Some(known) = self.known.get(issuer).filter(|known| is_before(now, known.until)) {
            return Some(Some(known.validator));
        }
        self.unknown.get(issuer).filter(|until| is_before(now, *until)).map(|_| None)
    }

    /// Resolves an issuer that is not remembered, or not for longer.
    async fn resolve(&self, issuer: String) -> Result<JwtAuth, Rejection> {
        match self.known.get(&issuer) {
            Some(known) => self.renew(issuer, known).await,
            None => {
                let first = self.known.get_or_insert_async(issuer.as_str(), self.first(&issuer));
                first.await.map(|known| known.validator)
            }
        }
    }

    /// Resolves an issuer, once for all who wait for it.
    async fn first(&self, issuer: &str) -> Result<Known, Rejection> {
        // Whoever waited for another's answer, which was no validator, learns of it here.
        if let Some(None) = self.remembered(issuer) {
            return Err(self.refuse(TokenError::Issuer));
        }
        if self.failed.get(issuer).is_some_and(|until| is_before(self.clock.now(), until)) {
            return Err(unavailable("the resolver has just failed"));
        }
        let found = self.ask(issuer).await;
        let now = self.clock.now();
        let validator = found.inspect_err(|_| {
            self.failed.insert(issuer.to_owned(), now + Duration::from_secs(1));
        })?;
        let Some(validator) = validator else {
            self.unknown.insert(issuer.to_owned(), now + Tenants::TTL);
            return Err(self.refuse(TokenError::Issuer));
        };
        Ok(Known::new(validator, now))
    }

    /// Asks whether a tenant is still one. Its validator serves on until the next has its keys, and while
    /// nobody can tell.
    async fn renew(&self, issuer: String, mut known: Known) -> Result<JwtAuth, Rejection> {
        let now = self.clock.now();
        let serves_on = is_before(now, known.at_most_until);
        // Others go on meanwhile, with what there is.
        if serves_on {
            known.until = now + Tenants::RETRY;
            self.known.insert(issuer.clone(), known.clone());
        }
        let next = match known.next.take() {
            Some(next) => Ok(Some(next)),
            None => self.ask(&issuer).await,
        };
        match next {
            Ok(Some(next)) if is_ready(&next) || !serves_on => {
                known = Known::new(next, self.clock.now());
            }
            Ok(Some(next)) => known.next = Some(next),
            Ok(None) => {
                self.known.remove(&issuer);
                self.unknown.insert(issuer, self.clock.now() + Tenants::TTL);
                return Err(self.refuse(TokenError::Issuer));
            }
            Err(_) if serves_on => return Ok(known.validator),
            Err(rejection) => return Err(rejection),
        }
        self.known.insert(issuer, known.clone());
        Ok(known.validator)
    }

    async fn ask(&self, issuer: &str) -> Result<Option<JwtAuth>, Rejection> {
        let permit = self.permits.try_acquire();
        let _permit = permit.map_err(|_| unavailable("too many issuers are being resolved"))?;
        let found = self.resolver.resolve_boxed(issuer.to_owned());
        let found = timeout(Tenants::RESOLVE_TIMEOUT, found).await;
        let found = found.map_err(|_| unavailable("the resolver took longer than 5 s"))?;
        // A validator of other issuers, or of any, would let one tenant speak for another.
        let is_its =
            |validator: &JwtAuth| validator.issuers().iter().any(|known| **known == *issuer);
        Ok(found.map_err(unavailable)?.filter(is_its))
    }

    fn refuse(&self, error: TokenError) -> Rejection {
        Rejection::new(RejectionKind::InvalidCredentials)
            .with_challenges(self.invalid_token.clone())
            .with_source(error)
    }
}

impl Known {
    fn new(validator: JwtAuth, now: SystemTime) -> Self {
        let until = now + Tenants::TTL;
        Self { validator, next: None, until, at_most_until: until + Tenants::MAX_STALE }
    }
}

fn is_ready(validator: &JwtAuth) -> bool {
    validator.health().is_none_or(|health| health.is_ready())
}

fn is_before(now: SystemTime, until: SystemTime) -> bool {
    clock::time_left(until, now, Tenants::TTL + Tenants::MAX_STALE).is_some()
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
        f.debug_struct("Tenants").field("challenges", &self.0.challenges).finish_non_exhaustive()
    }
}
