//! What is revoked instead if a store has no space for a record.
//!
//! A logout is never rejected because the memory is full. All tokens of the subject that were
//! issued until now are revoked instead of one of them, and all tokens of the issuer if there is no
//! space for that, either. The store then removes the records that are no longer needed.

use std::time::{Duration, UNIX_EPOCH};

use super::{
    epoch::millis, error::RevokeError, revocations::State, revoke::Rule, target::RevocationTarget,
};
use crate::store::{
    error::{StoreError, StoreErrorKind},
    key::{GroupKind, Groups, Purpose},
};

/// Whose tokens a record rejects, as far as it is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    pub(super) subject: Option<String>,
    /// When the latest token was issued that the record has to reject, in milliseconds since 1970.
    pub(super) instant: u64,
}

impl State {
    /// Returns the groups of a record.
    pub(super) fn groups(&self, target: RevocationTarget, issuer: &str, scope: &Scope) -> Groups {
        let group = |parts: &[&[u8]]| {
            let key = self.store.key(Purpose::Revocation, "group", parts).current;
            let [a, b, c, d, e, f, g, h, ..] = *key.as_bytes();
            u64::from_be_bytes([a, b, c, d, e, f, g, h])
        };
        let subject = scope.subject.as_ref();
        Groups {
            subject: subject.map(|subject| group(&[issuer.as_bytes(), subject.as_bytes()])),
            issuer: Some(group(&[issuer.as_bytes()])),
            instant: scope.instant,
            replaces: match target {
                RevocationTarget::Subject => Some(GroupKind::Subject),
                RevocationTarget::Issuer => Some(GroupKind::Issuer),
                RevocationTarget::Token | RevocationTarget::Session => None,
            },
        }
    }

    /// Revokes a group that contains what could not be stored.
    pub(super) async fn revoke_coarser(
        &self,
        target: RevocationTarget,
        issuer: &str,
        scope: &Scope,
    ) -> Result<(), RevokeError> {
        let now = millis(self.store.now().await?);
        let (target, value, latest) = match (target, &scope.subject) {
            (RevocationTarget::Token | RevocationTarget::Session, Some(subject)) => {
                (RevocationTarget::Subject, subject.as_bytes(), now)
            }
            // It has to reject what all the records of sessions reject that it replaces.
            _ => (RevocationTarget::Issuer, &b""[..], self.epoch.latest_start(now)),
        };
        // The clock of the issuer can be ahead.
        let instant = UNIX_EPOCH.checked_add(Duration::from_millis(scope.instant.max(latest)));
        let instant = Some(instant.ok_or(StoreError::new(StoreErrorKind::Full))?);
        let rule = Rule::Instant(instant, self.longest_token_life);
        Box::pin(self.revoke(target, issuer, value, rule, Scope::default())).await
    }
}
