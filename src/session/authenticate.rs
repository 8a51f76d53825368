use http::{header::SET_COOKIE, request::Parts};

use super::{
    info::SessionInfo,
    record::Record,
    session_id::{SessionHandle, SessionId},
    sessions::{Sessions, State},
};
use crate::{
    authenticate::{Authentication, Authenticator, Outcome},
    credentials::cookie,
    header::Challenges,
    later::Later,
    principal::Principal,
    rejection::{Rejection, RejectionKind},
    revocation::epoch_millis,
    store::error::{StoreError, StoreErrorKind},
};

impl Authenticator for Sessions {
    fn authenticate(&self, head: &Parts) -> Option<Authentication> {
        let state = &self.0;
        let found = cookie::find(&head.headers, &state.cookie_name)?;
        if let Err(rejection) = state.cross_site.check(head) {
            return Some(Authentication::ready(Err(rejection)));
        }
        let id = match found {
            Ok(text) => SessionId::parse(text),
            Err(error) => return Some(Authentication::ready(state.reject(error.into()))),
        };
        let Some(id) = id else {
            return Some(Authentication::ready(state.reject(invalid())));
        };
        let this = self.clone();
        Some(Authentication::pending(async move { this.0.find(&id.handle()).await }))
    }

    fn challenges(&self, _: &Parts) -> Challenges {
        self.0.challenge.clone().into()
    }

    fn conceal(&self, head: &mut Parts) {
        self.0.location.conceal(head);
    }
}

fn invalid() -> Rejection {
    Rejection::new(RejectionKind::InvalidCredentials)
}

impl Sessions {
    /// Checks whether the session of a caller has not ended, for a long connection such as a
    /// WebSocket.
    ///
    /// This is the decision that a request with the session gets, and counts as a use of it.
    ///
    /// ```
    /// use tower_auth::{Principal, session::Sessions};
    ///
    /// async fn may_continue(sessions: &Sessions, caller: &Principal) -> bool {
    ///     sessions.check(caller).await.is_ok()
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`InvalidCredentials`](RejectionKind::InvalidCredentials) if the session has ended,
    /// [`Unavailable`](RejectionKind::Unavailable) if the store fails, and
    /// [`Misconfigured`](RejectionKind::Misconfigured) if the caller has no session.
    pub fn check(&self, caller: &Principal) -> Later<Result<(), Rejection>> {
        let info = caller.extension::<SessionInfo>();
        let Some(handle) = info.and_then(|info| SessionHandle::parse(info.id())) else {
            return Later::ready(Err(Rejection::new(RejectionKind::Misconfigured)
                .because("the principal has no session")));
        };
        let this = self.clone();
        Later::pending(async move { this.0.find(&handle).await.into_result().map(|_| ()) })
    }

    /// Returns the session of a request, if it has one, also if the caller is not allowed to use
    /// it now.
    pub(crate) async fn of_request(
        &self,
        head: &Parts,
    ) -> Result<Option<(SessionHandle, Record)>, StoreError> {
        if let Some(info) = head.extensions.get::<Principal>().and_then(Principal::extension) {
            let SessionInfo { id, .. } = info;
            let Some(handle) = SessionHandle::parse(id) else { return Ok(None) };
            return Ok(self.0.read(&handle).await?.map(|record| (handle, record)));
        }
        let Some(Ok(text)) = cookie::find(&head.headers, &self.0.cookie_name) else {
            return Ok(None);
        };
        let Some(handle) = SessionId::parse(text).map(|id| id.handle()) else { return Ok(None) };
        Ok(self.0.read(&handle).await?.map(|record| (handle, record)))
    }
}

impl State {
    /// Rejects a request, and removes the cookie.
    fn reject(&self, rejection: Rejection) -> Outcome {
        Outcome::from(Err(rejection)).with_header(SET_COOKIE, self.cookie.expired())
    }

    pub(super) async fn read(&self, handle: &SessionHandle) -> Result<Option<Record>, StoreError> {
        let found = self.store.get(&[self.key(handle)]).await?;
        let Some(record) = found.into_iter().flatten().next() else { return Ok(None) };
        let record = Record::decode(&record.value);
        record.map(Some).ok_or_else(|| StoreError::new(StoreErrorKind::Unreadable))
    }

    async fn find(&self, handle: &SessionHandle) -> Outcome {
        let record = match self.read(handle).await {
            Ok(Some(record)) => record,
            Ok(None) => return self.reject(invalid()),
            Err(error) => return Outcome::from(Err(error.into())),
        };
        let now = match self.store.now().await {
            Ok(now) => epoch_millis(now),
            Err(error) => return Outcome::from(Err(error.into())),
        };
        if now >= record.end() {
            return self.reject(invalid());
        }
        let Some(principal) = record.principal() else {
            return Outcome::from(Err(StoreError::new(StoreErrorKind::Unreadable).into()));
        };
        let info = SessionInfo::new(handle, &record);
        let principal = principal.challenge(self.challenge.clone()).extension(info).build();
        Outcome::from(Ok(principal))
    }
}
