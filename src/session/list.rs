use super::{
    error::SessionError, info::SessionInfo, owner::SessionOwner, session_id::SessionHandle,
    sessions::Sessions,
};
use crate::revocation::epoch_millis;

impl Sessions {
    /// Returns the sessions of a user, the latest first: at most 100, because a further login ends
    /// the oldest. Sessions that have ended, have expired or were revoked are left out.
    ///
    /// ```
    /// use tower_auth::{Principal, session::{SessionError, Sessions}};
    ///
    /// async fn devices(sessions: &Sessions, caller: &Principal) -> Result<(), SessionError> {
    ///     for session in sessions.list(caller).await? {
    ///         println!("{:?} since {:?}", session.user_agent(), session.started_at());
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the store is unavailable.
    pub async fn list<'a>(
        &self,
        owner: impl Into<SessionOwner<'a>>,
    ) -> Result<Vec<SessionInfo>, SessionError> {
        let (state, owner) = (&self.0, owner.into());
        let now = epoch_millis(state.store.now().await?);
        let sessions = state.sessions_of(owner, now).await?;
        let watches = sessions.iter().map(|(handle, record)| {
            state.revocations.watch_session(&record.ids(handle), record.started_at)
        });
        let is_revoked =
            state.revocations.are_sessions_revoked(&watches.collect::<Vec<_>>()).await?;
        let live = sessions.iter().zip(is_revoked).filter(|(_, is_revoked)| !is_revoked);
        let live = live.map(|((handle, record), _)| SessionInfo::new(handle, record));
        let mut live: Vec<_> = live.collect();
        live.sort_by_key(|info| std::cmp::Reverse(info.started_at()));
        Ok(live)
    }

    /// Ends a session of a user, for example one that an account page shows. Returns whether the
    /// user had a session with this id.
    ///
    /// A session of another user is not ended, so the id can come from a form.
    ///
    /// # Errors
    ///
    /// Returns an error if the store is unavailable.
    pub async fn end_one<'a>(
        &self,
        owner: impl Into<SessionOwner<'a>>,
        id: &str,
    ) -> Result<bool, SessionError> {
        let (state, owner) = (&self.0, owner.into());
        let Some(handle) = SessionHandle::parse(id) else { return Ok(false) };
        let Some(record) = state.read(&handle).await? else { return Ok(false) };
        let issuer = record.issuer.as_deref().unwrap_or_default();
        if record.subject != owner.subject || issuer != owner.issuer.unwrap_or_default() {
            return Ok(false);
        }
        self.remove(&handle).await?;
        state.observe_ended(owner, Some(id));
        Ok(true)
    }
}
