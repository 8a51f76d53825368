use http::{
    HeaderMap, HeaderValue, Response,
    header::{CACHE_CONTROL, SET_COOKIE},
};

use super::{
    error::SessionError,
    info::{SessionInfo, instant},
    owner::SessionOwner,
    session_id::SessionHandle,
    sessions::{Sessions, State},
};
use crate::{
    observe::event::Event,
    principal::Principal,
    revocation::{RevocationTarget, epoch_millis},
    store::error::{StoreError, StoreErrorKind},
};

/// How often a record is removed that a failover brings back.
const MAX_REMOVALS: usize = 4;

impl Sessions {
    /// Ends the session of a caller, and removes the cookie.
    ///
    /// # Errors
    ///
    /// Returns an error if the store is unavailable, or if the caller has no session.
    pub async fn end<B>(
        &self,
        caller: &Principal,
        response: &mut Response<B>,
    ) -> Result<(), SessionError> {
        let info = caller.extension::<SessionInfo>();
        let info = info.ok_or(SessionError::Invalid("the principal has no session"))?;
        self.end_now(caller.into(), info.id(), response.headers_mut()).await
    }

    /// Ends a session, and removes the cookie.
    pub(crate) async fn end_now(
        &self,
        owner: SessionOwner<'_>,
        id: &str,
        headers: &mut HeaderMap,
    ) -> Result<(), SessionError> {
        if let Some(handle) = SessionHandle::parse(id) {
            self.remove(&handle).await?;
        }
        headers.append(SET_COOKIE, self.0.cookie.expired());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        self.0.observe_ended(owner, Some(id));
        Ok(())
    }

    /// Ends all sessions of a user that were started until now.
    ///
    /// This revokes the subject, as
    /// [`Revocations::subject`](crate::revocation::Revocations::subject) does, so it also revokes
    /// the tokens of the issuer, if the principal has one.
    ///
    /// # Errors
    ///
    /// Returns an error if the store is unavailable. The sessions may have ended: try again.
    pub async fn end_all<'a>(
        &self,
        owner: impl Into<SessionOwner<'a>>,
    ) -> Result<(), SessionError> {
        let (state, owner) = (&self.0, owner.into());
        let (issuer, subject) = (owner.issuer.unwrap_or_default(), owner.subject);
        let revoke = |instant| {
            let subject = subject.as_bytes();
            state.revocations.raise(RevocationTarget::Subject, issuer, subject, instant)
        };
        let newest = state.newest_of(owner).await;
        let now = epoch_millis(state.store.now().await?);
        // A session can start a little after the store's time.
        match newest {
            Ok(newest) => revoke(Some(instant(newest.max(now)))).await?,
            Err(error) => {
                revoke(None).await?;
                return Err(error.into());
            }
        }
        state.observe_ended(owner, None);
        Ok(())
    }

    /// Removes the record of a session, and counts that.
    pub(super) async fn remove(&self, handle: &SessionHandle) -> Result<(), StoreError> {
        for _ in 0..MAX_REMOVALS {
            self.take(handle).await?;
            self.0.revocations.count_ended_session().await?;
            // A loss after the counter was incremented is detected. One before it is not, because
            // the older counter was incremented to the same number.
            if self.0.read(handle).await?.is_none() {
                return Ok(());
            }
        }
        Err(StoreError::new(StoreErrorKind::Unavailable)
            .with_source("the store lost the end of the session: try again"))
    }

    /// Removes the record of a session.
    pub(super) async fn take(&self, handle: &SessionHandle) -> Result<(), StoreError> {
        let state = &self.0;
        let taken = state.store.take(&state.key(handle).withdrawing_access()).await;
        // Also after an error: the record may have been removed. Not before the record was removed:
        // a request could read it and remember that it was read later.
        state.revocations.session_ended(handle.as_bytes());
        state.known.remove(handle);
        taken
    }
}

impl State {
    /// Reports that a session has ended, or all sessions of a user.
    pub(super) fn observe_ended(&self, owner: SessionOwner<'_>, id: Option<&str>) {
        let SessionOwner { issuer, subject } = owner;
        self.observer.observe(&Event::SessionEnded { issuer, subject, id });
    }
}
