use std::time::Duration;

use http::{
    HeaderMap, HeaderValue, Response,
    header::{CACHE_CONTROL, SET_COOKIE, USER_AGENT},
    request::Parts,
};

use super::{
    error::SessionError,
    info::{SessionInfo, instant},
    record::{ProviderSession, Record, Start},
    session_id::SessionId,
    sessions::Sessions,
};
use crate::{
    observe::event::Event,
    principal::Principal,
    revocation::epoch_millis,
    store::{
        error::{StoreError, StoreErrorKind},
        ttl::Ttl,
    },
};

/// A session to start.
pub(crate) struct NewSession<'a> {
    pub(crate) principal: &'a Principal,
    /// Where the user logged in.
    pub(crate) provider: Option<ProviderSession>,
    /// The id of a session that this one replaces, if it is known, besides that of the request.
    pub(crate) replaces: Option<&'a str>,
}

impl Sessions {
    /// Starts a session for a user who has just logged in, and adds the cookie to the response.
    ///
    /// The session always has a new id. If the request has a session, that one is ended.
    ///
    /// # Errors
    ///
    /// Returns an error if the store is unavailable, or if the principal is bound to a key.
    pub async fn start<B>(
        &self,
        principal: &Principal,
        head: &Parts,
        response: &mut Response<B>,
    ) -> Result<SessionInfo, SessionError> {
        let new = NewSession { principal, provider: None, replaces: None };
        self.start_new(new, head, response.headers_mut()).await
    }

    /// Starts a session, and adds the cookie to the headers of the response.
    pub(crate) async fn start_new(
        &self,
        new: NewSession<'_>,
        head: &Parts,
        headers: &mut HeaderMap,
    ) -> Result<SessionInfo, SessionError> {
        if new.principal.confirmation().is_some() {
            return Err(SessionError::Invalid(
                "the principal is bound to a key, which a session cannot confirm",
            ));
        }
        let state = &self.0;
        let id = SessionId::random();
        let handle = id.handle();
        let started_at = epoch_millis(state.store.now().await?);
        let user_agent = head.headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
        let record = Record::new(
            new.principal,
            Start {
                started_at,
                idle: state.idle,
                absolute: state.absolute,
                provider: new.provider,
                user_agent: user_agent.map(|text| text.chars().take(256).collect()),
                address: state.cross_site.forwarded().info(head).client_address(),
            },
        );
        let cookie = state.cookie.header(&id.encode(), instant(record.absolute_end));
        let cookie = cookie.map_err(|_| SessionError::Invalid("the clocks differ"))?;
        let ttl = Ttl::new(Duration::from_millis(record.absolute_end - started_at));
        if !state.store.insert(&state.key(&handle), &record.encode(), ttl).await? {
            return Err(StoreError::new(StoreErrorKind::Unavailable).into());
        }
        let old = match new.replaces {
            Some(id) => Some(id.to_owned()),
            None => self.of_request(head).await?.map(|(handle, _)| handle.to_string()),
        };
        if let Some(old) = old {
            self.remove(&old).await?;
        }
        headers.append(SET_COOKIE, cookie);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let info = SessionInfo::new(&handle, &record);
        state.observer.observe(&Event::SessionStarted { subject: &record.subject, id: info.id() });
        Ok(info)
    }
}
