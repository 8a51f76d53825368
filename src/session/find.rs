//! Decides whether a session is live.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    info::SessionInfo,
    known::{Answer, Decoded, Known},
    record::Record,
    session_id::SessionHandle,
    sessions::{Sessions, State},
};
use crate::{
    later::Later,
    principal::Principal,
    rejection::{Rejection, RejectionKind},
    revocation::{
        epoch_millis,
        session::{Question, SessionStanding},
    },
    store::{
        error::{StoreError, StoreErrorKind},
        record::Record as StoreRecord,
        store::StoreFuture,
    },
};

/// The caller of a session, or why there is none.
pub(super) type Found = Result<Principal, NotFound>;

/// Why a session does not admit a request.
#[derive(Debug)]
pub(super) enum NotFound {
    /// There is no such session any more. The text is for logs.
    Ended(&'static str),
    /// This cannot be decided now.
    Unknown(Rejection),
}

/// A question to the store, and its answer.
pub(super) struct Asked {
    known: Arc<Known>,
    question: Question,
    raw: StoreFuture<Vec<Option<Bytes>>>,
}

/// What an answer of the store means.
enum Judgement {
    Live(Arc<Decoded>),
    Ended(&'static str),
    AskAgain,
}

/// How often the store is asked for one request, if answers are void when they arrive.
const MAX_QUESTIONS: usize = 8;

impl From<StoreError> for NotFound {
    fn from(error: StoreError) -> Self {
        Self::Unknown(error.into())
    }
}

impl From<NotFound> for Rejection {
    fn from(not_found: NotFound) -> Self {
        match not_found {
            NotFound::Ended(reason) => Self::new(RejectionKind::InvalidCredentials).because(reason),
            NotFound::Unknown(rejection) => rejection,
        }
    }
}

impl Sessions {
    /// Finds the caller of a session. A session that has not changed since this process last read
    /// it is ready if the store is.
    #[inline]
    pub(super) fn find(&self, handle: &SessionHandle) -> Later<Found> {
        let state = &*self.0;
        let Some(known) = state.known.get(handle) else { return self.find_later(*handle, None) };
        let question = state.revocations.question(!state.staleness.is_zero());
        if let Some(principal) = state.find_without_store(&known, &question) {
            return Later::ready(Ok(principal));
        }
        let raw = state.store.get_raw(&known.names).into_ready();
        if let Ok(Ok(raw)) = &raw
            && let Some(principal) = state.find_unchanged(&known, &question, raw)
        {
            return Later::ready(Ok(principal));
        }
        let raw = raw.map_or_else(|pending| pending, StoreFuture::ready);
        self.find_later(*handle, Some(Asked { known, question, raw }))
    }

    #[cold]
    fn find_later(&self, handle: SessionHandle, asked: Option<Asked>) -> Later<Found> {
        let this = self.clone();
        Later::pending(async move { this.find_decoded(&handle, asked).await })
    }

    /// Finds the caller of a session, and writes what is due.
    async fn find_decoded(&self, handle: &SessionHandle, mut asked: Option<Asked>) -> Found {
        let state = &*self.0;
        let started = state.clock.elapsed();
        for _ in 0..MAX_QUESTIONS {
            let Asked { known, question, raw } = match asked.take() {
                Some(asked) => asked,
                None => match state.ask(handle).await? {
                    Some(asked) => asked,
                    None => return Err(NotFound::Ended("there is no such session")),
                },
            };
            let raw = raw.await?;
            let unchanged = state.find_unchanged(&known, &question, &raw);
            if let Some(principal) = unchanged {
                return Ok(principal);
            }
            let decoded = match state.judge(handle, &known, &question, raw).await? {
                Judgement::Live(decoded) => decoded,
                Judgement::AskAgain => continue,
                Judgement::Ended(reason) => {
                    state.known.remove(handle);
                    return Err(NotFound::Ended(reason));
                }
            };
            let now = epoch_millis(state.store.now().await?);
            if now >= decoded.end {
                state.known.remove(handle);
                return Err(NotFound::Ended("the session has expired"));
            }
            state.known.accept(handle, &known, Answer::new(Arc::clone(&decoded), &question));
            if state.is_refresh_due(&decoded, now) {
                self.refresh(handle, &known, &decoded, now, started).await?;
                continue;
            }
            state.slide(&known, &decoded, now).await;
            return Ok(decoded.principal.clone());
        }
        Err(NotFound::Unknown(
            Rejection::new(RejectionKind::Unavailable)
                .because("the answers of the store were void: too many changes at the same time"),
        ))
    }
}

impl State {
    /// Returns the caller if the last answer of the store is recent enough, and nothing is due.
    fn find_without_store(&self, known: &Known, question: &Question) -> Option<Principal> {
        let asked_at = question.asked_at?;
        let latest = known.latest.load();
        let answer = latest.as_ref()?;
        let is_usable = answer.is_recent(asked_at, self.staleness)
            && self.revocations.is_unaffected_since(&known.watch, answer.asked_after);
        self.if_nothing_is_due(known, &answer.decoded, self.now()?).filter(|_| is_usable)
    }

    /// Returns the caller if the store has the same values as before, and nothing is due.
    #[inline]
    fn find_unchanged(
        &self,
        known: &Known,
        question: &Question,
        raw: &[Option<Bytes>],
    ) -> Option<Principal> {
        let latest = known.latest.load();
        let decoded = &latest.as_ref()?.decoded;
        let counters = known.counters_if_same(raw, decoded)?;
        let now = self.now()?;
        if !self.revocations.confirm(&known.watch, question, &decoded.epoch, counters, now) {
            return None;
        }
        let principal = self.if_nothing_is_due(known, decoded, now)?;
        if !self.staleness.is_zero() {
            known.latest.store(Some(Arc::new(Answer::new(Arc::clone(decoded), question))));
        }
        Some(principal)
    }

    /// Returns the caller if the session has not expired, and needs no write.
    #[inline]
    fn if_nothing_is_due(&self, known: &Known, decoded: &Decoded, now: u64) -> Option<Principal> {
        let is_due = now >= decoded.end
            || self.is_slide_due(known, decoded, now)
            || self.is_refresh_due(decoded, now);
        (!is_due).then(|| decoded.principal.clone())
    }

    /// Returns the time of the store, if it is known without a question.
    #[inline]
    fn now(&self) -> Option<u64> {
        Some(epoch_millis(self.store.now().into_ready().ok()?.ok()?))
    }

    /// Asks the store about a session. The first time, this takes two round trips, because what can
    /// revoke the session is in its record.
    async fn ask(&self, handle: &SessionHandle) -> Result<Option<Asked>, StoreError> {
        let known = match self.known.get(handle) {
            Some(known) => known,
            None => {
                let Some(record) = self.read(handle).await? else { return Ok(None) };
                self.known.get_or_add(handle, || self.to_known(handle, &record))
            }
        };
        let question = self.revocations.question(!self.staleness.is_zero());
        let raw = self.store.get_raw(&known.names);
        Ok(Some(Asked { known, question, raw }))
    }

    fn to_known(&self, handle: &SessionHandle, record: &Record) -> Known {
        let watch = self.revocations.watch_session(&record.ids(handle), record.started_at);
        Known::new(self.key(handle), watch, self.revocations.epoch_keys(), record)
    }

    async fn judge(
        &self,
        handle: &SessionHandle,
        known: &Known,
        question: &Question,
        raw: Vec<Option<Bytes>>,
    ) -> Result<Judgement, StoreError> {
        let mut found = self.store.open_raw(&known.keys, raw.clone())?;
        let revocations = found.split_off(1);
        // Also without a record: the store may have lost it, which is reported.
        let standing = self.revocations.judge_session(&known.watch, question, revocations).await?;
        let Some((stored, record)) = decode(found)? else {
            return Ok(Judgement::Ended("there is no such session"));
        };
        let epoch = match standing {
            SessionStanding::Unaffected(epoch) => epoch,
            SessionStanding::Revoked => return Ok(Judgement::Ended("the session was revoked")),
            SessionStanding::AskAgain => return Ok(Judgement::AskAgain),
        };
        // The record itself is not shortened: other services can have other settings.
        let shortened = record.clone().ending_within(self.idle, self.absolute);
        let principal = shortened.principal().ok_or_else(unreadable)?;
        let info = SessionInfo::new(handle, &shortened);
        let principal = principal.challenge(self.challenge.clone()).extension(info).build();
        let end = shortened.end();
        let decoded = Decoded::new(raw, epoch, record, stored, principal, end);
        Ok(Judgement::Live(Arc::new(decoded)))
    }

    /// Reads the record of a session.
    pub(super) async fn read(&self, handle: &SessionHandle) -> Result<Option<Record>, StoreError> {
        Ok(self.read_stored(handle).await?.map(|(_, record)| record))
    }

    /// Reads the record of a session, also as it is stored, to replace it.
    pub(super) async fn read_stored(
        &self,
        handle: &SessionHandle,
    ) -> Result<Option<(StoreRecord, Record)>, StoreError> {
        decode(self.store.get(&[self.key(handle)]).await?)
    }
}

/// Decodes the record of a session. It exists only once, under one of its two names.
pub(super) fn decode(
    found: impl IntoIterator<Item = Vec<StoreRecord>>,
) -> Result<Option<(StoreRecord, Record)>, StoreError> {
    let Some(stored) = found.into_iter().flatten().next() else { return Ok(None) };
    let record = Record::decode(&stored.value).ok_or_else(unreadable)?;
    Ok(Some((stored, record)))
}

pub(super) fn unreadable() -> StoreError {
    StoreError::new(StoreErrorKind::Unreadable)
        .with_source("the record of a session is not in a known form")
}
