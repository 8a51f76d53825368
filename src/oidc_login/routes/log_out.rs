use std::borrow::Cow;

use http::{HeaderMap, HeaderName, StatusCode, header::SET_COOKIE, request::Parts};

use super::reply::{self, Reply};
use crate::{
    credentials::cross_site::CrossSite, oidc_login::oidc_login::State, rejection::Rejection,
    session::record::ProviderSession,
};

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// What a logout has ended.
enum Ended {
    Nothing,
    /// A login. Its session at the provider continues.
    Login {
        id_token: Option<String>,
        is_of_provider: bool,
    },
}

impl State {
    /// Ends the session, and then the session at the provider.
    pub(super) async fn log_out(&self, head: &Parts) -> Result<Reply, Rejection> {
        self.check_cross_site(head)?;
        let mut headers = HeaderMap::new();
        let ended = self.end_login(head, &mut headers).await?;
        let mut reply = match is_script(head) {
            true => reply::empty(StatusCode::NO_CONTENT),
            false => self.leave(ended).await,
        };
        for cookie in headers.get_all(SET_COOKIE) {
            reply.headers_mut().append(SET_COOKIE, cookie.clone());
        }
        Ok(reply)
    }

    /// Rejects a logout that another site may have caused, also if there is no session.
    fn check_cross_site(&self, head: &Parts) -> Result<(), Rejection> {
        match &self.routes.sessions {
            Some(sessions) => sessions.cross_site().check(head),
            None => {
                let mut cross_site = CrossSite::default();
                cross_site.set_forwarded(self.routes.forwarded.clone());
                cross_site.check(head)
            }
        }
    }

    async fn end_login(&self, head: &Parts, headers: &mut HeaderMap) -> Result<Ended, Rejection> {
        #[cfg(feature = "issue")]
        if let Some(issuer) = &self.routes.tokens {
            return end_family(issuer, self.summary(head), head, headers).await;
        }
        let Some(sessions) = &self.routes.sessions else { return Ok(Ended::Nothing) };
        let session = sessions.of_request(head).await?;
        let Some((handle, record)) = session else { return Ok(Ended::Nothing) };
        sessions.end_now(record.owner(), &handle.to_string(), headers).await?;
        let is_of_provider =
            |provider: &ProviderSession| self.issuer().is_some_and(|own| **own == provider.issuer);
        let provider = record.provider.filter(is_of_provider);
        Ok(Ended::Login {
            is_of_provider: provider.is_some(),
            id_token: provider.and_then(|provider| provider.id_token),
        })
    }

    /// Redirects to the logout page of the provider, or to the page after a logout.
    ///
    /// The ID token of one provider is never sent to another one.
    async fn leave(&self, ended: Ended) -> Reply {
        let provider = match &ended {
            Ended::Login { id_token, is_of_provider: true } => {
                self.end_session_url(id_token.as_deref()).await.map(Cow::Owned)
            }
            Ended::Login { .. } | Ended::Nothing => None,
        };
        let url = provider.unwrap_or(Cow::Borrowed(&self.routes.after_logout));
        reply::see_other(&url).unwrap_or_else(|| reply::empty(StatusCode::NO_CONTENT))
    }
}

/// Ends the login of the refresh token in the cookie, and removes the cookie.
#[cfg(feature = "issue")]
async fn end_family(
    issuer: &crate::issue::TokenIssuer,
    request: crate::observe::request_summary::RequestSummary<'_>,
    head: &Parts,
    headers: &mut HeaderMap,
) -> Result<Ended, Rejection> {
    let misconfigured =
        |error| Rejection::new(crate::rejection::RejectionKind::Misconfigured).with_source(error);
    let cookie = issuer.refresh_cookie().map_err(misconfigured)?;
    let Some(found) = crate::credentials::cookie::find(&head.headers, cookie.name()) else {
        return Ok(Ended::Nothing);
    };
    // With two cookies of this name, only their removal is possible.
    if let Ok(token) = found {
        let token = zeroize::Zeroizing::new(String::from_utf8_lossy(token).into_owned());
        issuer.logout_for(&token, Some(request)).await?;
    }
    headers.append(SET_COOKIE, cookie.expired());
    Ok(Ended::Login { id_token: None, is_of_provider: true })
}

/// Returns whether a script sent the request. It cannot follow a redirect to a provider.
fn is_script(head: &Parts) -> bool {
    head.headers.get(SEC_FETCH_MODE).is_some_and(|mode| mode != "navigate")
}
