use http::{
    HeaderMap, HeaderValue, Response,
    header::{CACHE_CONTROL, SET_COOKIE, USER_AGENT},
    request::Parts,
};

use super::{
    error::SessionError,
    info::{SessionInfo, instant},
    record::{MAX_BYTES, ProviderSession, Record, Start},
    session_id::{SessionHandle, SessionId},
    sessions::Sessions,
};
use crate::{
    observe::{event::Event, request_summary::RequestSummary},
    principal::Principal,
    store::error::{StoreError, StoreErrorKind},
};

/// A session to start.
pub(crate) struct NewSession<'a> {
    pub(crate) principal: &'a Principal,
    /// Where the user logged in.
    pub(crate) provider: Option<ProviderSession>,
    /// The id of a session that this one replaces, besides that of the request.
    pub(crate) replaces: Option<&'a str>,
}

impl Sessions {
    /// Starts a session for a user who has just logged in, and adds the cookie to the response.
    ///
    /// The session has a new id in any case. If the request has a session, that one is ended. The
    /// response gets `Cache-Control: no-store`.
    ///
    /// The session has the subject, the issuer, the scopes and the claims of the principal. If
    /// there is no claim `auth_time`, it is added, so that
    /// [`RequireAuthentication`](crate::RequireAuthentication) knows when the user logged in.
    /// [Extensions](crate::PrincipalBuilder::extension) and the expiry of the principal are not
    /// kept: the session has its own.
    ///
    /// ```
    /// use http::{Response, request::Parts};
    /// use tower_auth::{Principal, Scheme, session::{SessionError, Sessions}};
    ///
    /// # async fn f(sessions: &Sessions, head: &Parts) -> Result<Response<()>, SessionError> {
    /// // After the password was verified:
    /// let user = Principal::builder("alice", Scheme::COOKIE).scopes(["orders:read"]).build();
    /// let mut response = Response::new(());
    /// sessions.start(&user, head, &mut response).await?;
    /// # Ok(response) }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the store is unavailable, or if the principal has no subject, has more
    /// than 64 KiB of claims, or is bound to a key. The response is unchanged then, and the session
    /// of the request is not ended: only an outage can leave the user without a session.
    pub async fn start<B>(
        &self,
        principal: &Principal,
        head: &Parts,
        response: &mut Response<B>,
    ) -> Result<SessionInfo, SessionError> {
        let new = NewSession { principal, provider: None, replaces: None };
        self.start_with(new, true, head, response.headers_mut()).await
    }

    /// Starts a session, and adds the cookie to the headers of the response. The claims of the
    /// principal say when the user logged in.
    #[cfg_attr(not(feature = "oidc-login"), allow(dead_code))]
    pub(crate) async fn start_new(
        &self,
        new: NewSession<'_>,
        head: &Parts,
        headers: &mut HeaderMap,
    ) -> Result<SessionInfo, SessionError> {
        self.start_with(new, false, head, headers).await
    }

    /// The new session is written before the old one is ended, so that a failure does not end both.
    /// Until both are done, the new id is not sent.
    async fn start_with(
        &self,
        new: NewSession<'_>,
        is_login: bool,
        head: &Parts,
        headers: &mut HeaderMap,
    ) -> Result<SessionInfo, SessionError> {
        let (state, principal) = (&self.0, new.principal);
        if principal.confirmation().is_some() {
            return Err(SessionError::Invalid(
                "the principal is bound to a key, which a session cannot confirm",
            ));
        }
        if principal.subject().is_empty() {
            return Err(SessionError::Invalid("the principal has no subject"));
        }
        let mut old = Vec::new();
        if let Some((handle, record)) = self.of_request(head).await? {
            old.push((handle, record));
        }
        if let Some(handle) = new.replaces.and_then(SessionHandle::parse)
            && old.iter().all(|(known, _)| *known != handle)
            && let Some(record) = state.read(&handle).await?
        {
            old.push((handle, record));
        }
        let id = SessionId::random();
        let handle = id.handle();
        let user_agent = head.headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
        let mut record = Record::new(
            principal,
            Start {
                idle: state.idle,
                absolute: state.absolute,
                provider: new.provider,
                user_agent: user_agent.map(|text| text.chars().take(256).collect()),
                address: state.cross_site.forwarded().info(head).client_address(),
            },
        );
        let (started_at, now) = state.revocations.start_of_session(&record.ids(&handle)).await?;
        record.start_at(started_at, is_login.then_some(now / 1_000));
        let value = record.encode();
        if value.len() > MAX_BYTES {
            return Err(SessionError::Invalid(
                "the session would take more than 64 KiB: keep large claims elsewhere",
            ));
        }
        let cookie = state.cookie.header(&id.encode(), instant(record.absolute_end));
        let cookie = cookie.map_err(|_| {
            StoreError::new(StoreErrorKind::Unavailable)
                .with_source("the clock of the store is behind that of this server by hours")
        })?;
        let key = state.key(&handle).only_current();
        if !state.store.insert(&key, &value, state.ttl(&record, now)).await? {
            return Err(StoreError::new(StoreErrorKind::Unavailable)
                .with_source("two sessions have the same id")
                .into());
        }
        let mut result = self.add_to_index(&handle, &record, now).await;
        for (old, _) in &old {
            if result.is_ok() {
                result = self.take(old).await;
            }
        }
        if let Err(error) = result {
            // If this fails, too, the record expires: the id was not sent to anyone.
            let _ = self.remove(&handle).await;
            return Err(error.into());
        }
        if !old.is_empty() {
            // Not an error: the old session has ended. The store reports its outages.
            let _ = state.revocations.count_ended_session().await;
        }
        for (old, of_old) in &old {
            state.observe_ended(of_old.owner(), Some(&old.to_string()));
        }
        headers.append(SET_COOKIE, cookie);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let info = SessionInfo::new(&handle, &record);
        state.observer.observe(&Event::SessionStarted {
            request: RequestSummary::of(head, Some(state.cross_site.forwarded())),
            issuer: record.issuer.as_deref(),
            subject: &record.subject,
            id: info.id(),
        });
        Ok(info)
    }
}
