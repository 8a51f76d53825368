use std::time::Duration;

use super::{
    answers::{Answer, AnswerKey, Verdict},
    epoch::Found,
    local_writes::LocalStanding,
    revocations::{Revocations, State},
    target::RevocationTarget,
    token_ids::TokenIds,
};
use crate::{
    bearer::verifier::Verification,
    jwt::error::TokenError,
    later::Later,
    principal::Principal,
    rejection::{Rejection, RejectionKind},
    store::{
        error::{StoreError, StoreErrorKind},
        record::{Record, RecordKey},
    },
};

/// The `Retry-After` if the store is unavailable.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How often the store is asked for one request, if answers are void when they arrive.
const MAX_QUESTIONS: usize = 8;

impl Revocations {
    /// Rejects the token of a principal if it was revoked.
    #[inline]
    pub(crate) fn check_later(&self, verification: Verification) -> Verification {
        match verification.into_ready() {
            Ok(Ok(principal)) => match self.check_verified(&principal).into_ready() {
                Ok(result) => Verification::ready(result.map(|()| principal)),
                Err(check) => Verification::pending(async move { check.await.map(|()| principal) }),
            },
            Ok(Err(rejection)) => Verification::ready(Err(rejection)),
            Err(pending) => {
                let this = self.clone();
                Verification::pending(async move {
                    let principal = pending.await?;
                    this.check_verified(&principal).await?;
                    Ok::<_, Rejection>(principal)
                })
            }
        }
    }

    /// Like [`check_later`](Self::check_later), but asks the store each time.
    #[cfg(feature = "issue")]
    pub(crate) fn check_now_later(&self, verification: Verification) -> Verification {
        let this = self.clone();
        match verification.into_ready() {
            Ok(Err(rejection)) => Verification::ready(Err(rejection)),
            Ok(Ok(principal)) => {
                let check = this.ask_later(&principal, None);
                Verification::pending(async move { check.await.map(|()| principal) })
            }
            Err(pending) => Verification::pending(async move {
                let principal = pending.await?;
                this.ask_later(&principal, None).await?;
                Ok::<_, Rejection>(principal)
            }),
        }
    }

    /// Like [`check`](Self::check), for a token whose `iat` and lifetime were checked.
    #[inline]
    pub(super) fn check_verified(&self, principal: &Principal) -> Later<Result<(), Rejection>> {
        let state = &*self.0;
        let Some(answers) = &state.answers else { return self.ask_later(principal, None) };
        let Some(key) = answers.key(principal) else {
            return Later::ready(Err(Rejection::new(RejectionKind::Misconfigured)));
        };
        let now = state.clock.elapsed();
        if let Some(answer) = answers.get(&key)
            && let Some(result) = state.apply(&answer, principal, now, now)
        {
            return Later::ready(result);
        }
        self.ask_later(principal, Some((key.to_owned(), now)))
    }

    #[cold]
    fn ask_later(
        &self,
        principal: &Principal,
        known: Option<(AnswerKey, Duration)>,
    ) -> Later<Result<(), Rejection>> {
        let (this, principal) = (self.clone(), principal.clone());
        Later::pending(async move { this.0.ask_until_usable(&principal, known).await })
    }
}

impl State {
    /// Returns what an answer means for a request that started at `start`, or `None` if the store
    /// must be asked again.
    #[inline]
    fn apply(
        &self,
        answer: &Answer,
        principal: &Principal,
        start: Duration,
        now: Duration,
    ) -> Option<Result<(), Rejection>> {
        match &answer.verdict {
            Verdict::NotRevoked => {
                let is_recent =
                    self.answers.as_ref().is_none_or(|all| all.is_recent(answer, start, now));
                if !is_recent {
                    return None;
                }
                if answer.asked_after == self.writes.latest() {
                    return Some(Ok(()));
                }
                match self.writes.standing(&TokenIds::of(principal)?, answer.asked_after) {
                    LocalStanding::Unaffected => Some(Ok(())),
                    LocalStanding::Revoked => Some(Err(revoked())),
                    LocalStanding::Unknown => None,
                }
            }
            Verdict::Revoked => Some(Err(revoked())),
            Verdict::Outdated => None,
            Verdict::Failed(error) => Some(self.apply_failure(error, principal)),
        }
    }

    /// Decides about a token while the store does not answer.
    #[cold]
    fn apply_failure(&self, error: &StoreError, principal: &Principal) -> Result<(), Rejection> {
        let seen = self.epoch.seen();
        // Only for an outage: a record that cannot be read may be the work of an attacker.
        if !self.admit_unchecked
            || error.kind() != StoreErrorKind::Unavailable
            || seen.is_reverted()
        {
            return Err(Rejection::from(error.clone()).with_retry_after(RETRY_AFTER));
        }
        let ids = TokenIds::of(principal);
        let is_revoked = ids.is_none_or(|ids| {
            self.writes.standing(&ids, 0) == LocalStanding::Revoked
                || seen.rejects(ids.started_at, ids.is_own)
        });
        if is_revoked { Err(revoked()) } else { Ok(()) }
    }

    async fn ask_until_usable(
        &self,
        principal: &Principal,
        known: Option<(AnswerKey, Duration)>,
    ) -> Result<(), Rejection> {
        let Some(ids) = TokenIds::of(principal) else {
            return Err(Rejection::new(RejectionKind::Misconfigured));
        };
        let mut last = None;
        for _ in 0..MAX_QUESTIONS {
            let (Some(answers), Some((key, start))) = (&self.answers, &known) else {
                let answer = self.ask(&ids).await;
                match self.apply(&answer, principal, answer.asked_at, answer.asked_at) {
                    Some(result) => return result,
                    None => continue,
                }
            };
            let answer = answers.get_or_ask(key, self.ask(&ids)).await;
            let now = self.clock.elapsed();
            if let Some(result) = self.apply(&answer, principal, *start, now) {
                return result;
            }
            let is_unusable =
                |answer: &Answer| self.apply(answer, principal, *start, now).is_none();
            answers.remove_if(key, is_unusable);
            // The table returns the same answer again while another thread is inserting it.
            let asked = Some((answer.asked_at, answer.asked_after));
            if last == asked {
                let answer = self.ask(&ids).await;
                let now = self.clock.elapsed();
                if let Some(result) = self.apply(&answer, principal, *start, now) {
                    return result;
                }
            }
            last = asked;
        }
        Err(Rejection::new(RejectionKind::Unavailable)
            .with_retry_after(RETRY_AFTER)
            .because("the answers of the store were void: too many revocations at the same time"))
    }

    /// Asks the store about a token, in one round trip.
    async fn ask(&self, ids: &TokenIds<'_>) -> Answer {
        // Before the store is asked: later changes may not be in the answer.
        let (asked_at, asked_after) = (self.clock.elapsed(), self.writes.latest());
        let verdict = self.read(ids).await.unwrap_or_else(Verdict::Failed);
        Answer { verdict, asked_at, asked_after }
    }

    async fn read(&self, ids: &TokenIds<'_>) -> Result<Verdict, StoreError> {
        self.epoch.note_instant(ids.started_at);
        let before = self.epoch.seen();
        let (keys, by_existence) = self.keys_of(ids);
        let mut found = self.store.get(&keys).await?;
        let epoch = Found::take_from(&mut found)?;
        let Some(epoch) = self.observe_epoch(&before, &epoch).await? else {
            return Ok(Verdict::Outdated);
        };
        let is_revoked = |(index, records): (usize, &Vec<Record>)| {
            records.iter().any(|record| {
                index < by_existence || decode_instant(&record.value) >= ids.started_at
            })
        };
        let is_revoked =
            epoch.rejects(ids.started_at, ids.is_own) || found.iter().enumerate().any(is_revoked);
        if !is_revoked {
            return Ok(Verdict::NotRevoked);
        }
        self.epoch.note_revoked(ids.started_at);
        Ok(Verdict::Revoked)
    }

    /// Returns the keys of all records that can affect a token: first those that reject it by their
    /// existence, and how many these are, then those with an instant, the epoch and its counter.
    fn keys_of(&self, ids: &TokenIds<'_>) -> (Vec<RecordKey>, usize) {
        let key = |target, value: &[u8]| self.key(target, &ids.issuer, value);
        let mut keys = Vec::with_capacity(8);
        keys.push(key(RevocationTarget::Token, &ids.token.value()));
        let session = ids.session.iter();
        keys.extend(session.map(|sid| key(RevocationTarget::Session, sid.as_bytes())));
        let by_existence = keys.len();
        let subjects = ids.subjects.iter().flatten();
        keys.extend(subjects.map(|sub| key(RevocationTarget::Subject, sub.as_bytes())));
        keys.push(key(RevocationTarget::Issuer, b""));
        keys.extend(self.epoch.keys());
        (keys, by_existence)
    }
}

/// Decodes an instant in milliseconds since 1970. One that cannot be decoded rejects every token.
pub(super) fn decode_instant(value: &[u8]) -> u64 {
    value.try_into().map_or(u64::MAX, u64::from_be_bytes)
}

#[cold]
fn revoked() -> Rejection {
    Rejection::new(RejectionKind::InvalidCredentials).with_source(TokenError::Revoked)
}
