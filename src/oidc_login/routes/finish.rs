#[cfg(feature = "issue")]
use http::header::SET_COOKIE;
use http::{HeaderMap, request::Parts};

use super::callback::LoggedIn;
#[cfg(feature = "issue")]
use crate::{
    issue::{Grant, TokenIssuer},
    observe::request_summary::RequestSummary,
};
use crate::{
    oidc_login::{
        login_error::{LoginError, LoginErrorKind},
        oidc_login::State,
    },
    rejection::{Rejection, RejectionKind},
    session::start::NewSession,
};

impl State {
    /// Starts the session of a user who has logged in, or issues tokens.
    pub(super) async fn finish(
        &self,
        logged_in: LoggedIn,
        head: &Parts,
        headers: &mut HeaderMap,
    ) -> Result<(), LoginError> {
        let LoggedIn { principal, provider, step_up, replaces } = logged_in;
        // The policies of the page check this principal, which may not have the claims.
        step_up.check(&principal, self.clock.now())?;
        #[cfg(feature = "issue")]
        if let Some(issuer) = &self.routes.tokens {
            let cookie = set_refresh_cookie(issuer, &principal, Some(self.summary(head))).await?;
            headers.append(SET_COOKIE, cookie);
            return Ok(());
        }
        let Some(sessions) = &self.routes.sessions else {
            return Err(LoginError::new(LoginErrorKind::Misconfigured)
                .because("neither sessions nor tokens are configured"));
        };
        let new = NewSession { principal: &principal, provider, replaces: replaces.as_deref() };
        sessions.start_new(new, head, headers).await.map_err(Rejection::from)?;
        Ok(())
    }
}

/// Issues tokens, and returns the cookie with the refresh token. The page gets the access token
/// when it refreshes.
#[cfg(feature = "issue")]
async fn set_refresh_cookie(
    issuer: &TokenIssuer,
    user: &crate::principal::Principal,
    request: Option<RequestSummary<'_>>,
) -> Result<http::HeaderValue, LoginError> {
    let tokens = issuer.issue_for(grant(user), request).await.map_err(Rejection::from)?;
    let cookie = issuer
        .refresh_cookie()
        .map_err(|error| LoginError::new(LoginErrorKind::Misconfigured).because(error))?;
    // The clocks of this process and of the store differ by days.
    cookie
        .header(tokens.refresh_token(), tokens.refresh_expires_at())
        .map_err(|error| LoginError::new(LoginErrorKind::Unavailable).because(error))
}

/// Grants the scopes of the principal. The tokens say how and when the user logged in at the
/// provider.
#[cfg(feature = "issue")]
fn grant(user: &crate::principal::Principal) -> Grant {
    use std::time::{Duration, UNIX_EPOCH};

    let auth_time = user.claim::<f64>("auth_time").ok();
    let auth_time = auth_time.and_then(|time| Duration::try_from_secs_f64(time).ok());
    let auth_time = auth_time.and_then(|time| UNIX_EPOCH.checked_add(time));
    // Without it, the user may have logged in at the provider long ago. The default would be now.
    let mut grant = Grant::new(user).auth_time(auth_time.unwrap_or(UNIX_EPOCH));
    if let Ok(acr) = user.claim::<String>("acr") {
        grant = grant.acr(acr);
    }
    if let Ok(amr) = user.claim::<Vec<String>>("amr") {
        grant = grant.amr(amr);
    }
    grant
}

/// The rejection by the closure for the account, or of the session or the tokens.
impl From<Rejection> for LoginError {
    fn from(rejection: Rejection) -> Self {
        let kind = match rejection.kind() {
            RejectionKind::Unavailable | RejectionKind::TooManyRequests => {
                LoginErrorKind::Unavailable
            }
            RejectionKind::Misconfigured => LoginErrorKind::Misconfigured,
            RejectionKind::InsufficientAuthentication => LoginErrorKind::Insufficient,
            _ => LoginErrorKind::Forbidden,
        };
        Self::new(kind).because(rejection)
    }
}
