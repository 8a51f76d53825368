use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::digest;

use super::{
    error::RevokeError,
    target::RevocationTarget,
    token_ids::{TokenId, TokenIds},
};
use crate::{
    bearer::verifier::Verification,
    clock::{Clock, SystemClock},
    config_error::ConfigError,
    jwt::error::TokenError,
    later::Later,
    observe::{Observe, event::Event, observer::Observer},
    principal::Principal,
    rejection::{Rejection, RejectionKind},
    store::{
        error::{StoreError, StoreErrorKind},
        key::Purpose,
        record::RecordKey,
        sealed_store::SealedStore,
        ttl::Ttl,
    },
};

/// Revokes tokens, and rejects those that were revoked.
///
/// See [the module](crate::revocation) for an example. Clones share everything.
#[derive(Clone)]
pub struct Revocations(Arc<State>);

struct State {
    store: SealedStore,
    longest_token_life: Duration,
    #[allow(dead_code)]
    staleness: Duration,
    #[allow(dead_code)]
    clock: Box<dyn Clock>,
    admit_unchecked: bool,
    observer: Observer,
}

/// Builds [`Revocations`].
#[must_use]
pub struct RevocationsBuilder {
    store: SealedStore,
    longest_token_life: Option<Duration>,
    staleness: Duration,
    clock: Box<dyn Clock>,
    admit_unchecked: bool,
    observer: Observer,
}

impl Revocations {
    /// The largest leeway of a `JwtAuth`, for the clocks of issuers that are ahead, and again for
    /// tokens that have just expired, and a margin.
    const MARGIN: Duration = Duration::from_secs(300 + 300 + 5);

    /// Creates a builder. Also call [`longest_token_life`](RevocationsBuilder::longest_token_life).
    pub fn builder(store: SealedStore) -> RevocationsBuilder {
        RevocationsBuilder {
            store,
            longest_token_life: None,
            staleness: Duration::from_secs(5),
            clock: Box::new(SystemClock),
            admit_unchecked: false,
            observer: Observer::default(),
        }
    }

    /// Revokes the token of a caller.
    ///
    /// # Errors
    ///
    /// Returns an error if the principal does not come from a JWT, or if the store fails.
    pub fn token(&self, caller: &Principal) -> Later<Result<(), RevokeError>> {
        let Some(ids) = TokenIds::of(caller) else {
            return Later::ready(Err(RevokeError::NotAToken));
        };
        self.put_existing(RevocationTarget::Token, &ids.issuer, &ids.token.value())
    }

    /// Revokes all tokens of a session, by their `iss` and `sid`.
    ///
    /// # Errors
    ///
    /// Returns an error if the store fails.
    pub fn session(&self, issuer: &str, sid: &str) -> Later<Result<(), RevokeError>> {
        self.put_existing(RevocationTarget::Session, issuer, sid.as_bytes())
    }

    /// Revokes all tokens of a subject that were issued until now, by their `iss` and `sub`.
    ///
    /// # Errors
    ///
    /// Returns an error if the store fails.
    pub fn subject(&self, issuer: &str, subject: &str) -> Later<Result<(), RevokeError>> {
        self.raise(RevocationTarget::Subject, issuer, subject.as_bytes(), None)
    }

    /// Revokes all tokens of an issuer that were issued until now.
    ///
    /// # Errors
    ///
    /// Returns an error if the store fails.
    pub fn issuer(&self, issuer: &str) -> Later<Result<(), RevokeError>> {
        self.raise(RevocationTarget::Issuer, issuer, b"", None)
    }

    /// Returns the store, for the other records of a logout.
    pub(crate) fn store(&self) -> &SealedStore {
        &self.0.store
    }

    pub(crate) fn longest_token_life(&self) -> Duration {
        self.0.longest_token_life
    }

    /// Rejects the token of a principal if it was revoked.
    pub(crate) fn check_later(&self, verification: Verification) -> Verification {
        match verification.into_ready() {
            Ok(Ok(principal)) => {
                let check = self.check(&principal);
                match check.into_ready() {
                    Ok(result) => Verification::ready(result.map(|()| principal)),
                    Err(check) => {
                        Verification::pending(async move { check.await.map(|()| principal) })
                    }
                }
            }
            Ok(Err(rejection)) => Verification::ready(Err(rejection)),
            Err(pending) => {
                let this = self.clone();
                Verification::pending(async move {
                    let principal = pending.await?;
                    this.check(&principal).await?;
                    Ok::<_, Rejection>(principal)
                })
            }
        }
    }

    fn check(&self, principal: &Principal) -> Later<Result<(), Rejection>> {
        let Some(ids) = TokenIds::of(principal) else {
            return Later::ready(Err(Rejection::new(RejectionKind::Misconfigured)));
        };
        let key = |target, value: &[u8]| self.key(target, &ids.issuer, value);
        let mut by_existence = vec![key(RevocationTarget::Token, &ids.token.value())];
        by_existence
            .extend(ids.session.as_ref().map(|sid| key(RevocationTarget::Session, sid.as_bytes())));
        let count = by_existence.len();
        let subjects = ids.subjects.iter().flatten();
        let mut keys = by_existence;
        keys.extend(subjects.map(|sub| key(RevocationTarget::Subject, sub.as_bytes())));
        keys.push(key(RevocationTarget::Issuer, b""));
        let (started_at, this) = (ids.started_at, self.clone());
        self.0.store.get(&keys).map(move |found| {
            let found = match found {
                Ok(found) => found,
                Err(_) if this.0.admit_unchecked => return Ok(()),
                Err(error) => return Err(Rejection::from(error)),
            };
            let is_revoked = found.iter().enumerate().any(|(index, records)| {
                records.iter().any(|record| {
                    index < count || decode(&record.value).is_none_or(|at| at >= started_at)
                })
            });
            match is_revoked {
                true => Err(Rejection::new(RejectionKind::InvalidCredentials)
                    .with_source(TokenError::Revoked)),
                false => Ok(()),
            }
        })
    }

    /// Writes a record whose existence rejects tokens.
    fn put_existing(
        &self,
        target: RevocationTarget,
        issuer: &str,
        value: &[u8],
    ) -> Later<Result<(), RevokeError>> {
        let key = self.key(target, issuer, value);
        let ttl = Ttl::new(self.0.longest_token_life + Self::MARGIN);
        let (this, issuer) = (self.clone(), issuer.to_owned());
        self.0.store.put(&key, &[], ttl).map(move |result| {
            this.0.observer.observe(&Event::Revoked { target, issuer: &issuer });
            result.map_err(RevokeError::from)
        })
    }

    /// Raises the instant of a record to `instant`, by default now.
    pub(crate) fn raise(
        &self,
        target: RevocationTarget,
        issuer: &str,
        value: &[u8],
        instant: Option<SystemTime>,
    ) -> Later<Result<(), RevokeError>> {
        let key = self.key(target, issuer, value);
        let ttl = Ttl::new(self.0.longest_token_life + Self::MARGIN);
        let (this, issuer) = (self.clone(), issuer.to_owned());
        Later::pending(async move {
            let store = &this.0.store;
            let instant = match instant {
                Some(instant) => instant,
                None => store.now().await?,
            };
            let instant = instant.duration_since(UNIX_EPOCH).unwrap_or_default();
            let instant = u64::try_from(instant.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
            for _ in 0..100 {
                let found = store.get(&[key]).await?.into_iter().flatten().next();
                let is_written = match &found {
                    None => store.insert(&key, &instant.to_be_bytes(), ttl).await?,
                    Some(record) => {
                        let latest = decode(&record.value).unwrap_or_default().max(instant);
                        store.replace(record, &latest.to_be_bytes(), ttl).await?
                    }
                };
                if is_written {
                    this.0.observer.observe(&Event::Revoked { target, issuer: &issuer });
                    return Ok(());
                }
            }
            Err(RevokeError::Store(StoreError::new(StoreErrorKind::Unavailable)))
        })
    }

    fn key(&self, target: RevocationTarget, issuer: &str, value: &[u8]) -> RecordKey {
        let parts = [issuer.as_bytes(), value];
        self.0.store.key(Purpose::Revocation, target.kind(), &parts).withdrawing_access()
    }
}

impl TokenId<'_> {
    /// Returns the value under which the token is revoked.
    fn value(&self) -> Vec<u8> {
        match self {
            Self::Jti(jti) => [b"jti:", jti.as_bytes()].concat(),
            Self::Claims(json) => {
                let hash = digest::digest(&digest::SHA256, json.as_bytes());
                [b"claims:", hash.as_ref()].concat()
            }
        }
    }
}

/// Decodes an instant in milliseconds since 1970.
fn decode(value: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(value.try_into().ok()?))
}

impl RevocationsBuilder {
    /// Sets the longest time from the `iat` to the `exp` of a token. It is required.
    ///
    /// Tokens with a longer lifetime, and tokens without `iat`, are rejected, because records of
    /// revocations are kept for this time. All services that share the store must set the same
    /// value.
    pub fn longest_token_life(mut self, life: Duration) -> Self {
        self.longest_token_life = Some(life);
        self
    }

    /// Sets how long the answers of the store are used. The default is 5 s. Zero asks the store for
    /// each request.
    pub fn staleness(mut self, staleness: Duration) -> Self {
        self.staleness = staleness;
        self
    }

    /// Sets the clock. The default is the system clock. See [`clock`](crate::clock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Sets the observer of revocations. The default is
    /// [`Tracing`](crate::observe::Tracing) with the feature `tracing`.
    pub fn observer(mut self, observer: impl Observe + 'static) -> Self {
        self.observer = Observer::default().with_observer(observer);
        self
    }

    /// Accepts tokens while the store is unavailable. By default, requests get 503 then.
    ///
    /// # Security
    ///
    /// Revoked tokens are accepted during an outage, which an attacker may be able to cause.
    pub fn dangerous_admit_unchecked(mut self) -> Self {
        self.admit_unchecked = true;
        self
    }

    /// Checks the configuration.
    ///
    /// # Errors
    ///
    /// Returns an error if [`longest_token_life`](Self::longest_token_life) was not called.
    pub fn build(self) -> Result<Revocations, ConfigError> {
        let longest_token_life = self.longest_token_life.ok_or_else(|| {
            ConfigError::missing(
                "no longest_token_life: call it with the longest time from iat to exp of a token",
            )
        })?;
        Ok(Revocations(Arc::new(State {
            store: self.store,
            longest_token_life,
            staleness: self.staleness,
            clock: self.clock,
            admit_unchecked: self.admit_unchecked,
            observer: self.observer,
        })))
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations").finish_non_exhaustive()
    }
}

impl fmt::Debug for RevocationsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationsBuilder").finish_non_exhaustive()
    }
}
