//! What revocations mean for sessions.

use std::time::Duration;

use bytes::Bytes;

use super::{
    check::decode_instant,
    epoch::{Epoch, Found, MAX_ATTEMPTS, Seen, millis, parse_count},
    local_writes::{LocalStanding, LocalWrites},
    revocations::Revocations,
    target::RevocationTarget,
};
use crate::store::{
    error::{StoreError, StoreErrorKind},
    record::{Record, RecordKey},
    ttl::Ttl,
};

/// What a session can be revoked by.
pub(crate) struct SessionIds<'a> {
    pub(crate) handle: &'a [u8; 16],
    /// Who the user is in this service.
    pub(crate) local: Identity<'a>,
    /// Who the user is at the provider of the login.
    pub(crate) provider: Option<Identity<'a>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) sid: Option<&'a str>,
}

/// The records that can revoke a session.
#[derive(Clone)]
pub(crate) struct SessionWatch {
    /// First those that reject it by their existence, then those with an instant.
    keys: Vec<RecordKey>,
    by_existence: usize,
    /// What the revocations of this process are compared with.
    local: Vec<u64>,
    started_at: u64,
}

/// What was known when the store was asked.
pub(crate) struct Question {
    before: Seen,
    /// In monotonic time, if it was asked for.
    pub(crate) asked_at: Option<Duration>,
    /// The number of the latest revocation of this process.
    pub(crate) asked_after: u64,
}

/// What an answer of the store means for a session.
pub(crate) enum SessionStanding {
    /// Nothing in this epoch affects the session.
    Unaffected(Epoch),
    Revoked,
    /// The answer is void: the store must be asked again.
    AskAgain,
}

/// How far a revocation can be ahead of the store's clock, in milliseconds: that of a back-channel
/// logout has the time of the provider, whose clock can be ahead by the largest leeway.
const MAX_AHEAD: u64 = 305_000;

impl<'a> SessionIds<'a> {
    fn identities(&self) -> impl Iterator<Item = Identity<'a>> + use<'a> {
        let provider = self.provider.filter(|provider| *provider != self.local);
        [Some(self.local), provider].into_iter().flatten()
    }

    fn targets(&self) -> Vec<(RevocationTarget, &'a str, &'a [u8])> {
        let mut targets = Vec::with_capacity(6);
        for identity in self.identities() {
            if let Some(sid) = identity.sid {
                targets.push((RevocationTarget::Session, identity.issuer, sid.as_bytes()));
            }
        }
        for Identity { issuer, subject, .. } in self.identities() {
            for target in [
                (RevocationTarget::Subject, issuer, subject.as_bytes()),
                (RevocationTarget::Issuer, issuer, &b""[..]),
            ] {
                if !targets.contains(&target) {
                    targets.push(target);
                }
            }
        }
        targets
    }
}

impl SessionWatch {
    /// The keys of the records, without those of the epoch.
    pub(crate) fn keys(&self) -> &[RecordKey] {
        &self.keys
    }

    /// Returns whether one of the records that were found under the keys rejects the session.
    fn is_revoked_by(&self, found: &[Vec<Record>]) -> bool {
        let is_revoked = |(index, records): (usize, &Vec<Record>)| {
            records.iter().any(|record| {
                index < self.by_existence || decode_instant(&record.value) >= self.started_at
            })
        };
        found.iter().enumerate().any(is_revoked)
    }
}

impl Revocations {
    /// Returns what can revoke a session that started at this instant.
    pub(crate) fn watch_session(&self, ids: &SessionIds<'_>, started_at: u64) -> SessionWatch {
        let state = &self.0;
        state.epoch.note_instant(started_at);
        let targets = ids.targets();
        let by_existence =
            targets.iter().filter(|(target, ..)| *target == RevocationTarget::Session);
        let hashes =
            targets.iter().map(|(target, issuer, value)| state.writes.hash(*target, issuer, value));
        SessionWatch {
            by_existence: by_existence.count(),
            local: hashes.chain([self.hash_of_session(ids.handle)]).collect(),
            keys: targets
                .iter()
                .map(|(target, issuer, value)| state.key(*target, issuer, value))
                .collect(),
            started_at,
        }
    }

    /// The keys of the epoch and of its counter, which are read last.
    pub(crate) fn epoch_keys(&self) -> [RecordKey; 2] {
        self.0.epoch.keys()
    }

    /// Call this before the store is asked: later changes may not be in its answer.
    #[inline]
    pub(crate) fn question(&self, with_time: bool) -> Question {
        let state = &self.0;
        Question {
            before: state.epoch.seen(),
            asked_at: with_time.then(|| state.clock.elapsed()),
            asked_after: state.writes.latest(),
        }
    }

    /// Returns whether an answer of the store means the same as the last one, from this epoch, if
    /// all records but the counters are the same. `now` is the time of the store.
    #[inline]
    pub(crate) fn confirm(
        &self,
        watch: &SessionWatch,
        question: &Question,
        epoch: &Epoch,
        counters: &[Option<Bytes>],
        now: u64,
    ) -> bool {
        let state = &self.0;
        let count = counters.iter().flatten().map(parse_count).sum::<Option<i64>>();
        count.is_some_and(|count| {
            let elapsed = || state.clock.elapsed();
            state.epoch.confirm(&question.before, epoch, count, now, elapsed)
        }) && self.is_unaffected_since(watch, question.asked_after)
    }

    /// Returns whether the revocations of this process after the one with the number `asked_after`
    /// do not affect a session.
    #[inline]
    pub(crate) fn is_unaffected_since(&self, watch: &SessionWatch, asked_after: u64) -> bool {
        let writes = &self.0.writes;
        asked_after == writes.latest()
            || writes.standing_of(&watch.local, watch.started_at, asked_after)
                == LocalStanding::Unaffected
    }

    /// Decides what the records mean that were found under the keys of a session, and under those
    /// of the epoch.
    pub(crate) async fn judge_session(
        &self,
        watch: &SessionWatch,
        question: &Question,
        mut found: Vec<Vec<Record>>,
    ) -> Result<SessionStanding, StoreError> {
        let state = &self.0;
        let epoch = Found::take_from(&mut found)?;
        let Some(epoch) = state.observe_epoch(&question.before, &epoch).await? else {
            return Ok(SessionStanding::AskAgain);
        };
        let local = state.writes.standing_of(&watch.local, watch.started_at, question.asked_after);
        if epoch.rejects(watch.started_at, true)
            || watch.is_revoked_by(&found)
            || local == LocalStanding::Revoked
        {
            state.epoch.note_revoked(watch.started_at);
            return Ok(SessionStanding::Revoked);
        }
        Ok(match local {
            LocalStanding::Unknown => SessionStanding::AskAgain,
            _ => SessionStanding::Unaffected(epoch),
        })
    }

    /// Returns which of several sessions were revoked, in one round trip.
    pub(crate) async fn are_sessions_revoked(
        &self,
        watches: &[SessionWatch],
    ) -> Result<Vec<bool>, StoreError> {
        let state = &self.0;
        let keys = watches.iter().flat_map(|watch| &watch.keys).copied();
        let keys: Vec<_> = keys.chain(state.epoch.keys()).collect();
        for _ in 0..MAX_ATTEMPTS {
            let before = state.epoch.seen();
            let mut found = state.store.get(&keys).await?;
            let epoch = Found::take_from(&mut found)?;
            let Some(epoch) = state.observe_epoch(&before, &epoch).await? else { continue };
            let mut found = found.into_iter();
            let is_revoked = |watch: &SessionWatch| {
                let found: Vec<_> = found.by_ref().take(watch.keys.len()).collect();
                epoch.rejects(watch.started_at, true) || watch.is_revoked_by(&found)
            };
            return Ok(watches.iter().map(is_revoked).collect());
        }
        Err(void_answers())
    }

    /// Returns when a new session starts, and the time of the store, in milliseconds since 1970.
    ///
    /// A session that started at the instant of a revocation is rejected, so a login at the same
    /// time starts one millisecond later.
    pub(crate) async fn start_of_session(
        &self,
        ids: &SessionIds<'_>,
    ) -> Result<(u64, u64), StoreError> {
        let state = &self.0;
        let targets = ids.targets();
        let instants = targets.iter().filter(|(target, ..)| *target != RevocationTarget::Session);
        let keys = instants.map(|(target, issuer, value)| state.key(*target, issuer, value));
        let keys: Vec<_> = keys.chain(state.epoch.keys()).collect();
        for _ in 0..MAX_ATTEMPTS {
            let before = state.epoch.seen();
            let mut found = state.store.get(&keys).await?;
            let epoch = Found::take_from(&mut found)?;
            let Some(epoch) = state.observe_epoch(&before, &epoch).await? else { continue };
            let instants = found.iter().flatten().map(|record| decode_instant(&record.value));
            let rejected_until = instants.fold(epoch.rejected_until(), u64::max);
            let now = millis(state.store.now().await?);
            let started_at = now.max(rejected_until.saturating_add(1));
            if started_at > now.saturating_add(MAX_AHEAD) {
                return Err(StoreError::new(StoreErrorKind::Unavailable).with_source(
                    "the store has a revocation in the future: compare the clocks of the servers",
                ));
            }
            state.epoch.note_instant(started_at);
            return Ok((started_at, now));
        }
        Err(void_answers())
    }

    /// Voids what this process knows about a session whose record was removed.
    pub(crate) fn session_ended(&self, handle: &[u8; 16]) {
        let value = value_of_session(handle);
        self.0.writes.record(RevocationTarget::Token, "", &value, LocalWrites::ALWAYS);
    }

    /// Increments the counter of the epoch after a session was ended. All processes then detect if
    /// the store goes back to an earlier state, in which the session exists.
    pub(crate) async fn count_ended_session(&self) -> Result<(), StoreError> {
        let state = &self.0;
        state.epoch.note_revoked(millis(state.store.now().await?));
        let (before, [_, counter]) = (state.epoch.seen(), state.epoch.keys());
        let counts = state.store.add(&[counter], 1, Ttl::MAX).await?;
        state.epoch.note_count(&before, counts.into_iter().max().unwrap_or_default());
        Ok(())
    }

    fn hash_of_session(&self, handle: &[u8; 16]) -> u64 {
        self.0.writes.hash(RevocationTarget::Token, "", &value_of_session(handle))
    }
}

fn void_answers() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable)
        .with_source("the answers of the store were void: too many changes at the same time")
}

/// No token has this value: those of tokens begin with `jti:` or `claims:`.
fn value_of_session(handle: &[u8; 16]) -> Vec<u8> {
    [&b"session:"[..], handle].concat()
}
