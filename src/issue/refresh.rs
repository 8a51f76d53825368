//! The exchange of a refresh token (RFC 6749 §6).

use super::{
    access_token::{AccessContent, NotIssued, millis},
    claims::AccessClaims,
    error::{IssueError, RefreshError, Unavailable},
    family::{EndReason, Family, Judgement},
    keys::snapshot::Snapshot,
    refresh_request::RefreshRequest,
    refresh_token::{RefreshToken, SentToken},
    token_issuer::{State, TokenIssuer, ttl_until},
    token_pair::TokenPair,
};
use crate::{
    observe::{event::Event, request_summary::RequestSummary},
    store::{
        error::{StoreError, StoreErrorKind},
        record::Record,
    },
};
use std::{
    sync::{Arc, PoisonError},
    time::{Duration, UNIX_EPOCH},
};

impl TokenIssuer {
    /// Exchanges a refresh token for new tokens.
    ///
    /// Requests at the same time with the same token get the same new refresh token, so that
    /// several tabs, and a client that has lost a response, stay logged in. A token that was
    /// replaced more than the grace period ago was probably stolen: the login ends.
    ///
    /// # Errors
    ///
    /// Returns an error if the token is not valid any more, or if it cannot be checked.
    pub async fn refresh(
        &self,
        request: impl Into<RefreshRequest>,
    ) -> Result<TokenPair, RefreshError> {
        self.0.refresh(request.into(), None).await
    }
}

/// What is known about a refresh before the record of the family is read.
struct Refresh<'a> {
    token: RefreshToken,
    sid: &'a str,
    client_id: &'a str,
    scopes: Option<&'a [String]>,
    keys: &'a Snapshot,
    /// For events.
    request: Option<RequestSummary<'a>>,
}

/// How often the record is read again if another request has changed it.
const MAX_ATTEMPTS: usize = 4;

impl State {
    /// Exchanges a refresh token that was sent with a request, if that is known.
    pub(super) async fn refresh(
        &self,
        request: RefreshRequest,
        sent_with: Option<RequestSummary<'_>>,
    ) -> Result<TokenPair, RefreshError> {
        let (token, keys) = self.authenticate(&request.token).await?;
        let sid = token.family.sid();
        let rates = || self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let admitted = rates().admit(&sid, self.clock.elapsed());
        admitted.map_err(|retry_after| RefreshError::TooManyRequests { retry_after })?;
        let refresh = Refresh {
            token,
            sid: &sid,
            client_id: request.client_id.as_deref().unwrap_or(&self.client_id),
            scopes: request.scopes.as_deref(),
            keys: &keys,
            request: sent_with,
        };
        let mut claims = None;
        for _ in 0..MAX_ATTEMPTS {
            if let Some(pair) = self.try_refresh(&refresh, &mut claims).await? {
                return Ok(pair);
            }
        }
        Err(StoreError::new(StoreErrorKind::Unavailable)
            .with_source("other requests have changed the record of the login too often")
            .into())
    }

    /// Returns the token if a key of this issuer has authenticated it. A forged token causes no
    /// call of the store.
    pub(super) async fn authenticate(
        &self,
        text: &str,
    ) -> Result<(RefreshToken, Arc<Snapshot>), RefreshError> {
        let sent = SentToken::parse(text).ok_or(RefreshError::Malformed)?;
        let mut keys = match self.keys.cached() {
            Some(keys) => keys,
            None => self.keys.current().await?,
        };
        if keys.mac(sent.key_id()).is_none() {
            // Another instance may have added it. This limits how often the keys are read.
            keys = self.keys.refresh_if_older_than(Duration::from_secs(10)).await?;
        }
        if keys.mac(sent.key_id()).is_none()
            && let Some(error) = self.keys.last_failure()
        {
            return Err(error.into());
        }
        sent.verify(&keys).ok_or(RefreshError::Malformed)?;
        // The cached keys can contain one that was dropped since.
        let keys = self.keys.current().await?;
        let token = sent.verify(&keys).ok_or(RefreshError::Malformed)?;
        Ok((token, keys))
    }

    /// Returns whether a refresh token names a key that this issuer does not have, for example
    /// because it was removed.
    pub(super) fn has_unknown_key(&self, text: &str) -> bool {
        let keys = self.keys.cached();
        SentToken::parse(text)
            .zip(keys)
            .is_some_and(|(sent, keys)| keys.mac(sent.key_id()).is_none())
    }

    /// Returns `None` if another request has changed the record in the meantime.
    async fn try_refresh(
        &self,
        refresh: &Refresh<'_>,
        claims: &mut Option<AccessClaims>,
    ) -> Result<Option<TokenPair>, RefreshError> {
        let mut found = self.read_families(&[self.family_key(refresh.sid)]).await?;
        let Some((family, record)) = found.pop().flatten() else {
            return Err(RefreshError::Expired);
        };
        // Revocations are kept for no longer than the lifetime that is set now.
        let family = family.ending_within(self.lifetimes.absolute);
        if !family.is_live() {
            let known = Some((&*family.subject, family.started_at));
            self.revocations.family(&self.issuer, refresh.sid, known).await?;
            return Err(RefreshError::Revoked);
        }
        if family.client_id != refresh.client_id {
            return Err(RefreshError::OtherClient);
        }
        let now = millis(self.store.now().await?);
        if family.is_expired(now) {
            self.put_ended(refresh.sid, &family.ended(EndReason::Expired), now).await?;
            return Err(RefreshError::Expired);
        }
        let (subject, started_at) = (&*family.subject, family.started_at);
        let is_revoked =
            self.revocations.is_session_revoked(&self.issuer, subject, refresh.sid, started_at);
        if is_revoked.await? {
            self.put_ended(refresh.sid, &family.ended(EndReason::Revoked), now).await?;
            return Err(RefreshError::Revoked);
        }
        let judgement = family.judge(refresh.token.generation, now, self.lifetimes.grace);
        match judgement {
            Judgement::ClockWentBack => {
                return Err(RefreshError::Unavailable(Unavailable::new(
                    "the clock of the store is behind the record of the login",
                )));
            }
            Judgement::Reuse => {
                // First, because a retry after a failure of the store gets another error.
                let (request, issuer) = (refresh.request, &*self.issuer);
                let client_id = &*family.client_id;
                let event = Event::RefreshTokenReused { request, issuer, subject, client_id };
                self.observer.observe(&event);
                self.end(refresh.sid, &family, EndReason::Reused, now).await?;
                return Err(RefreshError::Reused);
            }
            Judgement::Answer { .. } | Judgement::Rotate | Judgement::Adopt => {}
        }
        // After the detection of reuse, which a thief must not avoid.
        let is_granted = |scope| family.scopes.contains(scope);
        if refresh.scopes.is_some_and(|scopes| !scopes.iter().all(is_granted)) {
            return Err(RefreshError::InvalidScope);
        }
        if claims.is_none() {
            let closure = self.claims_for(|| self.claims_request(&family, true)).await;
            *claims = closure.map_err(to_refresh_error)?;
        }
        let Some(claims) = claims.clone() else {
            self.end(refresh.sid, &family, EndReason::Revoked, now).await?;
            return Err(RefreshError::Revoked);
        };
        self.apply(refresh, &family, &record, judgement, claims, now).await
    }

    /// Writes the next generation if there is one, and answers.
    async fn apply(
        &self,
        refresh: &Refresh<'_>,
        family: &Family,
        record: &Record,
        judgement: Judgement,
        claims: AccessClaims,
        now: u64,
    ) -> Result<Option<TokenPair>, RefreshError> {
        let next = match judgement {
            Judgement::Rotate => family.rotated(now),
            Judgement::Adopt => family.adopting(refresh.token.generation, now),
            _ => family.clone(),
        };
        let token = RefreshToken { generation: next.generation, ..refresh.token };
        // Before the record is written, because it can fail.
        let pair =
            self.answer(refresh.keys, &next, token, refresh.sid, claims, refresh.scopes).await?;
        if next.generation != family.generation {
            let ttl = ttl_until(next.refresh_end(), now);
            if !self.store.replace(record, &next.encode(), ttl).await? {
                return Ok(None);
            }
        }
        let (subject, client_id) = (&*family.subject, &*family.client_id);
        if judgement == Judgement::Adopt {
            let (found, presented) = (family.generation, next.generation);
            self.observer.observe(&Event::StoreWentBack { found, presented });
        }
        let (request, issuer) = (refresh.request, &*self.issuer);
        self.observer.observe(&Event::TokensRefreshed { request, issuer, subject, client_id });
        Ok(Some(TokenPair { sends_cookie: judgement.sends_cookie(), ..pair }))
    }

    /// Revokes the access tokens of a family, then ends it.
    pub(super) async fn end(
        &self,
        sid: &str,
        family: &Family,
        reason: EndReason,
        now: u64,
    ) -> Result<(), RefreshError> {
        let known = Some((&*family.subject, family.started_at));
        self.revocations.family(&self.issuer, sid, known).await?;
        self.put_ended(sid, &family.ended(reason), now).await?;
        Ok(())
    }

    /// Creates the tokens of a generation. The refresh token is the same for all requests.
    pub(super) async fn answer(
        &self,
        keys: &Snapshot,
        family: &Family,
        token: RefreshToken,
        sid: &str,
        claims: AccessClaims,
        requested: Option<&[String]>,
    ) -> Result<TokenPair, NotIssued> {
        let is_requested =
            |scope: &String| requested.is_none_or(|requested| requested.contains(scope));
        let mut scopes = claims.limit(&family.scopes);
        scopes.retain(is_requested);
        let custom = claims.custom.map_err(NotIssued::Invalid)?;
        let content = AccessContent {
            subject: &family.subject,
            client_id: &family.client_id,
            audience: &family.audience,
            started_at: family.started_at,
            ends_at: family.absolute_end / 1_000,
            scopes: &scopes,
            confirmation: family.confirmation(),
            form: self.form,
            details: family.details(sid),
            custom,
        };
        let refresh_token = token.encode(keys.active_mac()?);
        Ok(TokenPair {
            access: self.issue_access_token(keys, content).await?,
            refresh_token,
            refresh_expires_at: UNIX_EPOCH + Duration::from_millis(family.refresh_end()),
            sends_cookie: true,
        })
    }
}

pub(super) fn to_refresh_error(error: IssueError) -> RefreshError {
    match error {
        IssueError::Unavailable(reason) => RefreshError::Unavailable(reason),
        other => RefreshError::Unavailable(Unavailable::new(other)),
    }
}

pub(super) fn to_issue_error(error: RefreshError) -> IssueError {
    match error {
        RefreshError::Unavailable(reason) => IssueError::Unavailable(reason),
        other => IssueError::Unavailable(Unavailable::new(other)),
    }
}
