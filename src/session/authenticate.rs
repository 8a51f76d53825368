use http::{
    HeaderValue,
    header::{CACHE_CONTROL, SET_COOKIE},
    request::Parts,
};

use super::{
    find::{Found, NotFound},
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
    store::error::StoreError,
};

impl Authenticator for Sessions {
    fn authenticate(&self, head: &Parts) -> Option<Authentication> {
        let state = &self.0;
        let found = cookie::find(&head.headers, &state.cookie_name)?;
        if let Err(rejection) = state.cross_site.check(head) {
            return Some(Authentication::ready(Err(state.of_cookie(rejection))));
        }
        let id = match found {
            Ok(text) => SessionId::parse(text),
            Err(error) => return Some(Authentication::ready(state.reject(error.into()))),
        };
        let Some(id) = id else {
            return Some(Authentication::ready(state.reject(malformed())));
        };
        Some(match self.find(&id.handle()).into_ready() {
            Ok(found) => Authentication::ready(state.outcome(found)),
            Err(pending) => {
                let this = self.clone();
                Authentication::pending(async move { this.0.outcome(pending.await) })
            }
        })
    }

    fn challenges(&self, _: &Parts) -> Challenges {
        self.0.challenge.clone().into()
    }

    fn conceal(&self, head: &mut Parts) {
        self.0.location.conceal(head);
    }
}

fn malformed() -> Rejection {
    Rejection::new(RejectionKind::InvalidCredentials).because("the id of the session is malformed")
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
        self.find(&handle).map(|found| found.map(|_| ()).map_err(Into::into))
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
    /// Notes the scheme of the credentials, for events.
    fn of_cookie(&self, rejection: Rejection) -> Rejection {
        rejection.of_scheme(self.challenge.scheme())
    }

    /// Rejects a request, and removes the cookie.
    fn reject(&self, rejection: Rejection) -> Outcome {
        Outcome::from(Err(self.of_cookie(rejection)))
            .with_header(SET_COOKIE, self.cookie.expired())
            .with_header(CACHE_CONTROL, HeaderValue::from_static("no-store"))
    }

    #[inline]
    fn outcome(&self, found: Found) -> Outcome {
        match found {
            Ok(principal) => Outcome::from(Ok(principal)),
            Err(ended @ NotFound::Ended(_)) => self.reject(ended.into()),
            // The cookie is kept: the session may be live.
            Err(NotFound::Unknown(rejection)) => Outcome::from(Err(self.of_cookie(rejection))),
        }
    }
}
