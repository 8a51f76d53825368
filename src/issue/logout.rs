//! The end of a family of tokens.

#[cfg(feature = "api-key")]
use super::error::Unavailable;
use super::{
    access_token::millis,
    error::{IssueError, RefreshError},
    family::EndReason,
    refresh::to_issue_error,
    remaining_access::RemainingAccess,
    token_issuer::{State, TokenIssuer},
};
use std::time::{Duration, UNIX_EPOCH};

use crate::{
    clock::saturating_add,
    observe::{event::Event, request_summary::RequestSummary},
};

impl TokenIssuer {
    /// Ends the login to which a refresh token belongs, also if it was replaced.
    ///
    /// A text that is not a refresh token of this issuer has no effect.
    ///
    /// This instance rejects the access tokens of the login at once. Others that share the store
    /// can accept a token that they know for the time of
    /// [`staleness`](super::TokenIssuerBuilder::staleness), and services that do not share it until
    /// the token expires.
    ///
    /// # Errors
    ///
    /// Returns an error if the store is unavailable: try again.
    pub async fn logout(&self, refresh_token: &str) -> Result<(), IssueError> {
        self.logout_for(refresh_token, None).await
    }

    /// Ends the login of a refresh token that was sent with a request, if that is known.
    pub(crate) async fn logout_for(
        &self,
        refresh_token: &str,
        request: Option<RequestSummary<'_>>,
    ) -> Result<(), IssueError> {
        self.0.log_out(refresh_token, request).await
    }

    /// Ends all logins of a user that were complete when this was called, and returns what still
    /// gives access: the API keys of the user.
    ///
    /// For access tokens, the same applies as to [`logout`](Self::logout).
    ///
    /// ```
    /// use tower_auth::issue::{IssueError, TokenIssuer};
    ///
    /// async fn password_changed(issuer: &TokenIssuer, user: &str) -> Result<(), IssueError> {
    ///     issuer.logout_everywhere(user).await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the store is unavailable: try again. If only the store of the API keys
    /// is unavailable, the logins have ended.
    pub async fn logout_everywhere(&self, subject: &str) -> Result<RemainingAccess, IssueError> {
        self.0.log_out_everywhere(subject, None).await
    }
}

impl State {
    /// Ends all logins of a user for this request, if it is known.
    pub(super) async fn log_out_everywhere(
        &self,
        subject: &str,
        request: Option<RequestSummary<'_>>,
    ) -> Result<RemainingAccess, IssueError> {
        self.end_all(subject).await?;
        let (issuer, user) = (&*self.issuer, Some(subject));
        let event = Event::LoggedOut { request, issuer, subject: user, everywhere: true };
        self.observer.observe(&event);
        self.remaining_access(subject).await
    }

    #[cfg(feature = "api-key")]
    async fn remaining_access(&self, subject: &str) -> Result<RemainingAccess, IssueError> {
        let Some(keys) = &self.api_keys else { return Ok(RemainingAccess::default()) };
        let found = keys.list(subject).await;
        let mut api_keys =
            found.map_err(|error| IssueError::Unavailable(Unavailable::new(error)))?;
        let now = self.clock.now();
        api_keys.retain(|key| key.is_live(now));
        Ok(RemainingAccess { api_keys })
    }

    #[cfg(not(feature = "api-key"))]
    async fn remaining_access(&self, _: &str) -> Result<RemainingAccess, IssueError> {
        Ok(RemainingAccess::default())
    }

    async fn end_all(&self, subject: &str) -> Result<(), IssueError> {
        // The clock of another instance, or a revocation, can have been ahead when a login started.
        let newest = self.newest_of(subject).await;
        let (start, end) = newest.as_ref().copied().unwrap_or_default();
        // A token without a login is in no list. It starts after the last revocation.
        let rejected_until = self.revocations.rejected_until(&self.issuer, subject).await;
        let now = self.store.now().await?;
        let next_start = match rejected_until {
            Ok(until) if until >= millis(now) => until.saturating_add(1),
            _ => 0,
        };
        let start = Duration::from_millis(start.max(next_start));
        let instant = saturating_add(UNIX_EPOCH, start).max(now);
        // Another instance can have given a login more time than this one.
        let life = Duration::from_millis(end.saturating_sub(millis(now)));
        // Also if the list cannot be read. Then the caller has to try again.
        self.revocations.families_of(&self.issuer, subject, instant, life).await?;
        newest?;
        rejected_until?;
        Ok(())
    }

    async fn log_out(
        &self,
        text: &str,
        request: Option<RequestSummary<'_>>,
    ) -> Result<(), IssueError> {
        let token = match self.authenticate(text).await {
            Ok((token, _)) => token,
            Err(RefreshError::Malformed) => return Ok(()),
            Err(error) => return Err(to_issue_error(error)),
        };
        let sid = token.family.sid();
        let found = self.read_families(&[self.family_key(&sid)]).await;
        let family = found.as_ref().ok().and_then(|found| found.first()?.as_ref());
        let family = family.map(|(family, _)| family);
        let subject = family.map(|family| &*family.subject);
        // First, and also if the record cannot be read, so that no access token is accepted
        // whatever happens next.
        let known = family.map(|family| (&*family.subject, family.started_at));
        self.revocations.family(&self.issuer, &sid, known).await?;
        found.as_ref().map_err(Clone::clone)?;
        if let Some(family) = family.filter(|family| family.is_live()) {
            let now = millis(self.store.now().await?);
            self.put_ended(&sid, &family.ended(EndReason::LoggedOut), now).await?;
        }
        let issuer = &*self.issuer;
        let event = Event::LoggedOut { request, issuer, subject, everywhere: false };
        self.observer.observe(&event);
        Ok(())
    }
}
