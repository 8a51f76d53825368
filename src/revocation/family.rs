use std::time::{Duration, SystemTime};

use super::{
    check::decode_instant,
    coarser::Scope,
    epoch::{Found, MAX_ATTEMPTS},
    error::RevokeError,
    revocations::Revocations,
    revoke::Rule,
    target::RevocationTarget,
};
use crate::{
    later::Later,
    store::error::{StoreError, StoreErrorKind},
};

/// For families of tokens that this crate issues.
impl Revocations {
    /// Revokes the tokens of a family, by its `sid` and, if they are known, its subject and start.
    ///
    /// If a store in memory has no space, the tokens of the subject that started until then are
    /// revoked instead, and not those of all subjects.
    pub(crate) fn family(
        &self,
        issuer: &str,
        sid: &str,
        known: Option<(&str, u64)>,
    ) -> Later<Result<(), RevokeError>> {
        let rule = Rule::Existence(self.longest_token_life());
        let scope =
            known.map(|(subject, instant)| Scope { subject: Some(subject.into()), instant });
        let scope = scope.unwrap_or_default();
        self.revoke_later(RevocationTarget::Session, issuer.to_owned(), sid.into(), rule, scope)
    }

    /// Revokes the tokens of all families of a subject that started until an instant, for `life` or
    /// longer.
    pub(crate) fn families_of(
        &self,
        issuer: &str,
        subject: &str,
        instant: SystemTime,
        life: Duration,
    ) -> Later<Result<(), RevokeError>> {
        let rule = Rule::Instant(Some(instant), life.max(self.longest_token_life()));
        let (target, scope) = (RevocationTarget::Subject, Scope::default());
        self.revoke_later(target, issuer.to_owned(), subject.into(), rule, scope)
    }

    /// Remembers the start of a family, which can be ahead of the store's clock.
    pub(crate) fn note_start(&self, started_at: u64) {
        self.0.epoch.note_instant(started_at);
    }

    /// Returns the latest instant, in milliseconds since 1970, at which a token of this subject is
    /// rejected if it started then. Creates the epoch if there is none.
    pub(crate) async fn rejected_until(
        &self,
        issuer: &str,
        subject: &str,
    ) -> Result<u64, StoreError> {
        let standing = self.standing_of(issuer, subject, None).await?;
        Ok(standing.rejected_until)
    }

    /// Returns whether the session was revoked, or the subject or the issuer at or after this
    /// instant, in one round trip.
    pub(crate) async fn is_session_revoked(
        &self,
        issuer: &str,
        subject: &str,
        sid: &str,
        started_at: u64,
    ) -> Result<bool, StoreError> {
        self.note_start(started_at);
        let standing = self.standing_of(issuer, subject, Some(sid)).await?;
        let is_revoked = standing.is_session_revoked || started_at <= standing.rejected_until;
        if is_revoked {
            self.0.epoch.note_revoked(started_at);
        }
        Ok(is_revoked)
    }

    async fn standing_of(
        &self,
        issuer: &str,
        subject: &str,
        sid: Option<&str>,
    ) -> Result<FamilyStanding, StoreError> {
        let state = &self.0;
        let mut keys = vec![
            state.key(RevocationTarget::Subject, issuer, subject.as_bytes()),
            state.key(RevocationTarget::Issuer, issuer, b""),
        ];
        keys.extend(sid.map(|sid| state.key(RevocationTarget::Session, issuer, sid.as_bytes())));
        keys.extend(state.epoch.keys());
        for _ in 0..MAX_ATTEMPTS {
            let before = state.epoch.seen();
            let mut found = state.store.get(&keys).await?;
            let epoch = Found::take_from(&mut found)?;
            let Some(epoch) = state.observe_epoch(&before, &epoch).await? else { continue };
            let session = found.split_off(2);
            let instants = found.iter().flatten().map(|record| decode_instant(&record.value));
            return Ok(FamilyStanding {
                rejected_until: instants.fold(epoch.rejected_until(), u64::max),
                is_session_revoked: !session.concat().is_empty(),
            });
        }
        Err(StoreError::new(StoreErrorKind::Unavailable)
            .with_source("the answers of the store were void: too many changes at the same time"))
    }
}

struct FamilyStanding {
    rejected_until: u64,
    is_session_revoked: bool,
}
