use http::{
    HeaderMap, HeaderValue, Response,
    header::{CACHE_CONTROL, SET_COOKIE},
};

use super::{
    error::SessionError, info::SessionInfo, owner::SessionOwner, session_id::SessionHandle,
    sessions::Sessions,
};
use crate::{observe::event::Event, principal::Principal, store::error::StoreError};

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
        let (subject, id) = (caller.subject(), info.id());
        self.end_now(subject, id, response.headers_mut()).await
    }

    /// Ends a session, and removes the cookie.
    pub(crate) async fn end_now(
        &self,
        subject: &str,
        id: &str,
        headers: &mut HeaderMap,
    ) -> Result<(), SessionError> {
        if let Some(handle) = SessionHandle::parse(id) {
            self.remove(&handle).await?;
        }
        headers.append(SET_COOKIE, self.0.cookie.expired());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        self.0.observer.observe(&Event::SessionEnded { subject, id: Some(id) });
        Ok(())
    }

    /// Ends all sessions of a subject that were started until now.
    ///
    /// # Errors
    ///
    /// Returns an error if the store is unavailable.
    pub async fn end_all<'a>(
        &self,
        owner: impl Into<SessionOwner<'a>>,
    ) -> Result<(), SessionError> {
        let SessionOwner { issuer, subject } = owner.into();
        self.0.revocations.subject(issuer.unwrap_or_default(), subject).await?;
        self.0.observer.observe(&Event::SessionEnded { subject, id: None });
        Ok(())
    }

    /// Removes the record of a session.
    pub(super) async fn remove(&self, handle: &SessionHandle) -> Result<(), StoreError> {
        let state = &self.0;
        let taken = state.store.take(&state.key(handle).withdrawing_access()).await;
        // Also after an error: the record may have been removed. Not before the record was removed:
        // a request could read it and remember that it was read later.
        state.revocations.session_ended(handle.as_bytes());
        state.known.remove(handle);
        taken?;
        state.revocations.count_ended_session().await
    }
}
