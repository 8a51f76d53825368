//! The start of a family of tokens.

use super::{
    access_token::{millis, seconds},
    error::{IssueError, Unavailable},
    family::{Family, FamilyState, whole_millis},
    grant::Grant,
    refresh_token::{FamilyId, RefreshToken},
    token_issuer::{State, TokenIssuer, ttl_until},
    token_pair::TokenPair,
};
use crate::{
    header::grammar::is_scope_token,
    observe::{event::Event, request_summary::RequestSummary},
    random::random_bytes,
};

impl TokenIssuer {
    /// Issues tokens to a user who has just logged in.
    ///
    /// This starts a family of tokens: the access token and those that follow by
    /// [`refresh`](Self::refresh) have the same `sid` and `fst`.
    ///
    /// # Errors
    ///
    /// Returns an error if the store is unavailable, if the claims closure rejects the user, or if
    /// the grant is invalid.
    pub async fn issue(&self, grant: impl Into<Grant>) -> Result<TokenPair, IssueError> {
        self.issue_for(grant.into(), None).await
    }

    /// Issues tokens to a user who has logged in with this request, if it is known.
    pub(crate) async fn issue_for(
        &self,
        grant: Grant,
        request: Option<RequestSummary<'_>>,
    ) -> Result<TokenPair, IssueError> {
        self.0.issue(grant, request).await
    }
}

impl State {
    async fn issue(
        &self,
        grant: Grant,
        request: Option<RequestSummary<'_>>,
    ) -> Result<TokenPair, IssueError> {
        let client_id = grant.client_id.clone().unwrap_or_else(|| self.client_id.clone());
        check(&grant, &client_id)?;
        let (started_at, now) = self.start_of_family(&grant.subject).await?;
        let auth_time = grant.auth_time.map_or(now / 1_000, |time| seconds(time).min(now / 1_000));
        let family = Family {
            state: FamilyState::Live,
            generation: 0,
            low: 0,
            rotated_at: now,
            started_at,
            idle: whole_millis(self.lifetimes.idle),
            absolute_end: started_at.saturating_add(whole_millis(self.lifetimes.absolute)),
            subject: grant.subject,
            client_id,
            audience: self.audience.clone(),
            scopes: grant.scopes,
            auth_time,
            acr: grant.acr,
            amr: grant.amr,
            cnf: grant.confirmation.map(|cnf| (*cnf.0).to_owned()),
            nonce: random_bytes(),
        };
        let claims = self.claims_for(|| self.claims_request(&family, false)).await?;
        let claims = claims.ok_or(IssueError::NotAllowed)?;
        let id = FamilyId::random();
        let sid = id.sid();
        let keys = self.keys.current().await?;
        let token = RefreshToken { family: id, generation: 0 };
        // Before the family: without the access token, the client would have to log in again.
        let pair = self.answer(&keys, &family, token, &sid, claims, None).await?;
        let ttl = ttl_until(family.refresh_end(), now);
        if !self.store.insert(&self.family_key(&sid), &family.encode(), ttl).await? {
            return Err(IssueError::Unavailable(Unavailable::new("two logins have the same id")));
        }
        // After the family, so that each login in the list has one. If this fails, the client has
        // no token of the family.
        self.add_to_subject(&family, &sid, now).await?;
        let (subject, client_id) = (&*family.subject, &*family.client_id);
        let issuer = &*self.issuer;
        self.observer.observe(&Event::LoggedIn { request, issuer, subject, client_id });
        Ok(pair)
    }

    /// Returns when the family starts, and the time of the store.
    ///
    /// A token that started at the instant of a revocation is rejected, so a login at the same time
    /// starts one millisecond later.
    pub(super) async fn start_of_family(&self, subject: &str) -> Result<(u64, u64), IssueError> {
        let rejected_until = self.revocations.rejected_until(&self.issuer, subject).await?;
        let now = millis(self.store.now().await?);
        let started_at = now.max(rejected_until.saturating_add(1));
        if started_at > now.saturating_add(MAX_AHEAD) {
            return Err(IssueError::Unavailable(Unavailable::new(
                "the store has a revocation in the future: compare the clocks of the servers",
            )));
        }
        self.revocations.note_start(started_at);
        Ok((started_at, now))
    }
}

/// How far a revocation can be ahead of the store's clock, in milliseconds.
const MAX_AHEAD: u64 = 5_000;

fn check(grant: &Grant, client_id: &str) -> Result<(), IssueError> {
    if grant.subject.is_empty() || client_id.is_empty() {
        return Err(IssueError::Invalid("a grant needs a subject and a client id"));
    }
    if !grant.scopes.iter().all(|scope| is_scope_token(scope)) {
        return Err(IssueError::Invalid(
            "a scope must be printable ASCII without spaces, quotes and backslashes: pass each \
             as a separate item",
        ));
    }
    Ok(())
}
