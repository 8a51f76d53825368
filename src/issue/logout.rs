//! The end of a family of tokens.

use super::{
    access_token::millis,
    error::{IssueError, RefreshError},
    family::EndReason,
    refresh::to_issue_error,
    token_issuer::{State, TokenIssuer},
};
use std::time::{Duration, UNIX_EPOCH};

use crate::{clock::saturating_add, observe::event::Event, revocation::target::RevocationTarget};

impl TokenIssuer {
    /// Ends the login to which a refresh token belongs, also if it was replaced.
    ///
    /// A text that is not a refresh token of this issuer has no effect.
    ///
    /// # Errors
    ///
    /// Returns an error if the store is unavailable: try again.
    pub async fn logout(&self, refresh_token: &str) -> Result<(), IssueError> {
        self.0.log_out(refresh_token).await
    }

    /// Ends all logins of a user.
    ///
    /// # Errors
    ///
    /// Returns an error if the store is unavailable: try again.
    pub async fn logout_everywhere(&self, subject: &str) -> Result<(), IssueError> {
        self.0.log_out_everywhere(subject).await?;
        let subject = Some(subject);
        self.0.observer.observe(&Event::LoggedOut { subject, everywhere: true });
        Ok(())
    }
}

/// How much the clocks of instances can differ, although both follow that of the store.
const CLOCK_MARGIN: Duration = Duration::from_millis(250);

impl State {
    async fn log_out_everywhere(&self, subject: &str) -> Result<(), IssueError> {
        let rejected_until = self.revocations.rejected_until(&self.issuer, subject).await?;
        // A login after the last revocation can have started up to a millisecond after it.
        let last_start = UNIX_EPOCH + Duration::from_millis(rejected_until.saturating_add(1));
        let instant = last_start.max(saturating_add(self.store.now().await?, CLOCK_MARGIN));
        let (target, value) = (RevocationTarget::Subject, subject.as_bytes());
        self.revocations.raise(target, &self.issuer, value, Some(instant)).await?;
        Ok(())
    }

    async fn log_out(&self, text: &str) -> Result<(), IssueError> {
        let token = match self.authenticate(text).await {
            Ok((token, _)) => token,
            Err(RefreshError::Malformed) => return Ok(()),
            Err(error) => return Err(to_issue_error(error)),
        };
        let sid = token.family.sid();
        // First, so that no access token is accepted whatever happens next.
        self.revocations.session(&self.issuer, &sid).await?;
        let mut found = self.read_families(&[self.family_key(&sid)]).await?;
        let family = found.pop().flatten().map(|(family, _)| family);
        if let Some(family) = family.as_ref().filter(|family| family.is_live()) {
            let now = millis(self.store.now().await?);
            self.put_ended(&sid, &family.ended(EndReason::LoggedOut), now).await?;
        }
        let subject = family.as_ref().map(|family| &*family.subject);
        self.observer.observe(&Event::LoggedOut { subject, everywhere: false });
        Ok(())
    }
}
