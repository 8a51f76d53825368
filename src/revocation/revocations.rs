use std::{
    borrow::Cow,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    answers::Answers, builder::RevocationsBuilder, coarser::Scope, epoch::EpochWatch,
    error::RevokeError, local_writes::LocalWrites, revoke::Rule, target::RevocationTarget,
    token_ids::TokenIds,
};
use crate::{
    clock::Clock,
    later::Later,
    observe::observer::Observer,
    principal::Principal,
    store::{key::Purpose, record::RecordKey, sealed_store::SealedStore},
};

/// Revokes tokens, and rejects those that were revoked.
///
/// See [the module](crate::revocation) for examples. Clones share everything.
#[derive(Clone)]
pub struct Revocations(pub(super) Arc<State>);

pub(super) struct State {
    pub(super) store: SealedStore,
    pub(super) longest_token_life: Duration,
    pub(super) clock: Box<dyn Clock>,
    pub(super) admit_unchecked: bool,
    pub(super) observer: Observer,
    /// `None` if the store is asked for each request.
    pub(super) answers: Option<Answers>,
    pub(super) writes: LocalWrites,
    pub(super) epoch: EpochWatch,
}

impl Revocations {
    /// Creates a builder. Also call [`longest_token_life`](RevocationsBuilder::longest_token_life).
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_auth::{revocation::Revocations, store::SealedStore};
    ///
    /// let revocations = Revocations::builder(SealedStore::memory())
    ///     .longest_token_life(Duration::from_secs(600))
    ///     .build()?;
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    pub fn builder(store: SealedStore) -> RevocationsBuilder {
        RevocationsBuilder::new(store)
    }

    /// Revokes the token of a caller.
    ///
    /// A token with `jti` is revoked by its `jti`, so that all tokens of the issuer with the same
    /// one are rejected. A token without `jti` is revoked by its claims.
    ///
    /// ```
    /// use tower_auth::{Principal, Rejection, revocation::Revocations};
    ///
    /// async fn log_out(revocations: &Revocations, caller: &Principal) -> Result<(), Rejection> {
    ///     Ok(revocations.token(caller).await?)
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the principal does not come from a JWT with `iat`, or if the store
    /// fails. After an error of the store, the token may be revoked or not: try again.
    pub fn token(&self, caller: &Principal) -> Later<Result<(), RevokeError>> {
        let Some(ids) = TokenIds::of(caller) else {
            return Later::ready(Err(RevokeError::NotAToken));
        };
        let subject = ids.subjects.into_iter().flatten().next().map(Cow::into_owned);
        let scope = Scope { subject, instant: ids.started_at };
        let (issuer, value) = (ids.issuer.into_owned(), ids.token.value());
        let rule = Rule::Existence(self.life_of(caller));
        self.revoke_later(RevocationTarget::Token, issuer, value, rule, scope)
    }

    /// Revokes all tokens of a session, by their `iss` and `sid`, also those that are issued later.
    ///
    /// The record is kept for [`longest_token_life`](RevocationsBuilder::longest_token_life) and
    /// about ten minutes. So also end the session at the issuer: a refresh token that is still
    /// valid then yields tokens that are accepted after this time.
    ///
    /// ```
    /// # use tower_auth::{Rejection, revocation::Revocations};
    /// # async fn f(revocations: Revocations) -> Result<(), Rejection> {
    /// revocations.session("https://issuer.example", "08a5019c-17e1").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the store fails. The session may be revoked or not: try again.
    pub fn session(&self, issuer: &str, sid: &str) -> Later<Result<(), RevokeError>> {
        let rule = Rule::Existence(self.0.longest_token_life);
        let (target, scope) = (RevocationTarget::Session, Scope::default());
        self.revoke_later(target, issuer.to_owned(), sid.into(), rule, scope)
    }

    /// Revokes all tokens of a subject that were issued until now, by their `iss` and `sub`.
    ///
    /// Refresh tokens are not revoked: also end the sessions of the subject at the issuer.
    /// Otherwise, the next refresh yields a token that was issued later, and is accepted.
    ///
    /// The subject is the `sub`, or the [subject](Principal::subject) that the
    /// [`JwtAuth`](crate::JwtAuth) determines, also with
    /// [`subject_from`](crate::jwt::JwtAuthBuilder::subject_from) or
    /// [`map_principal`](crate::jwt::JwtAuthBuilder::map_principal) of its builder. A subject that
    /// a closure sets outside of the `JwtAuth` is not known to it.
    ///
    /// ```
    /// # use tower_auth::{Rejection, revocation::Revocations};
    /// # async fn f(revocations: Revocations) -> Result<(), Rejection> {
    /// revocations.subject("https://issuer.example", "alice").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the store fails. The subject may be revoked or not: try again.
    pub fn subject(&self, issuer: &str, subject: &str) -> Later<Result<(), RevokeError>> {
        self.raise(RevocationTarget::Subject, issuer, subject.as_bytes(), None)
    }

    /// Revokes all tokens of an issuer that were issued until now.
    ///
    /// This includes the refresh tokens of a `TokenIssuer` of this name, and the sessions of users
    /// of this issuer. The issuer of users without one is the empty text:
    ///
    /// ```
    /// # use tower_auth::{Rejection, revocation::Revocations};
    /// # async fn f(revocations: Revocations) -> Result<(), Rejection> {
    /// revocations.issuer("https://issuer.example").await?;
    /// // All sessions of users without an issuer.
    /// revocations.issuer("").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the store fails. The issuer may be revoked or not: try again.
    pub fn issuer(&self, issuer: &str) -> Later<Result<(), RevokeError>> {
        self.raise(RevocationTarget::Issuer, issuer, b"", None)
    }

    /// Returns the store, for the other records of a logout.
    pub(crate) fn store(&self) -> &SealedStore {
        &self.0.store
    }

    /// Raises the instant of a record to `instant`, by default now.
    pub(crate) fn raise(
        &self,
        target: RevocationTarget,
        issuer: &str,
        value: &[u8],
        instant: Option<SystemTime>,
    ) -> Later<Result<(), RevokeError>> {
        let rule = Rule::Instant(instant, self.0.longest_token_life);
        let scope = Scope::default();
        self.revoke_later(target, issuer.to_owned(), value.into(), rule, scope)
    }

    pub(crate) fn longest_token_life(&self) -> Duration {
        self.0.longest_token_life
    }

    pub(super) fn revoke_later(
        &self,
        target: RevocationTarget,
        issuer: String,
        value: Vec<u8>,
        rule: Rule,
        scope: Scope,
    ) -> Later<Result<(), RevokeError>> {
        let this = self.clone();
        Later::pending(async move { this.0.revoke(target, &issuer, &value, rule, scope).await })
    }
}

impl State {
    /// Returns the key of a record.
    pub(super) fn key(&self, target: RevocationTarget, issuer: &str, value: &[u8]) -> RecordKey {
        let parts = [issuer.as_bytes(), value];
        self.store.key(Purpose::Revocation, target.kind(), &parts).withdrawing_access()
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations").finish_non_exhaustive()
    }
}
