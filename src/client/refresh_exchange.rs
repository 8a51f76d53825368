//! Exchanges a refresh token, in a task of its own.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};
use zeroize::Zeroizing;

use super::{
    endpoint_failure::{EndpointFailure, Outcome},
    error::{AttachError, AttachErrorKind, BoxError},
    issued_token::{ExchangeResult, IssuedToken},
    login_state::GrantState,
    source::Token,
    token_response::TokenResponse,
};
use crate::{
    clock::{Clock as _, SystemClock},
    observe::event::Event,
};

/// How long the hook may take. Together with a request of 5 s, this is the timeout of a fetch.
const SAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// An exchange that has not ended.
pub(super) struct Exchange {
    pub(super) grant: Arc<GrantState>,
    /// The login to which the refresh token belongs.
    pub(super) number: u64,
    pub(super) refresh_token: Zeroizing<String>,
    pub(super) sender: watch::Sender<ExchangeResult>,
}

impl Exchange {
    pub(super) async fn run(self) {
        let (mut requested_at, mut response) = self.request().await;
        if response.as_ref().is_err_and(|failure| failure.outcome == Outcome::Unknown) {
            // At once: the issuer may have replaced the refresh token, and accepts it again only
            // for a short time.
            (requested_at, response) = self.request().await;
        }
        let result = self.finish(response);
        self.save().await;
        let result = result.map(|token| IssuedToken { token, requested_at });
        self.sender.send_replace(Some(result));
    }

    async fn request(&self) -> (Duration, Result<TokenResponse, EndpointFailure>) {
        let requested_at = SystemClock.elapsed();
        let parameters = [("grant_type", "refresh_token"), ("refresh_token", &self.refresh_token)];
        (requested_at, self.grant.endpoint.request(&parameters).await)
    }

    /// Keeps the new refresh token, or the end of the login.
    fn finish(
        &self,
        response: Result<TokenResponse, EndpointFailure>,
    ) -> Result<Token, AttachError> {
        let mut login = self.grant.lock();
        let is_current = login.number == self.number;
        match response {
            Ok(TokenResponse { access, refresh_token, .. }) => {
                if let Some(new) = refresh_token
                    && is_current
                    && *new != *login.refresh_token
                {
                    login.refresh_token = new;
                    login.is_unsaved = true;
                }
                access.map_err(|failure| failure.error)
            }
            Err(failure) if failure.outcome == Outcome::Rejected => {
                let message = "the login has ended: the user must log in again";
                let error = AttachError::because(AttachErrorKind::LoggedOut, message);
                let error = error.caused_by(failure.error);
                if is_current {
                    login.ended = Some(error.clone());
                }
                Err(error)
            }
            Err(failure) => Err(failure.error),
        }
    }

    /// Calls the hook if it has not accepted the refresh token yet.
    async fn save(&self) {
        let _guard = self.grant.saving.lock().await;
        let (hook, token) = {
            let login = self.grant.lock();
            let is_due = login.number == self.number && login.is_unsaved && login.ended.is_none();
            match &login.hook {
                Some(hook) if is_due => (Arc::clone(hook), login.refresh_token.clone()),
                _ => return,
            }
        };
        // A task of its own, because the hook can panic.
        let copy = String::clone(&token);
        let mut saving = tokio::spawn(async move { hook(copy).await });
        let error: BoxError = match timeout(SAVE_TIMEOUT, &mut saving).await {
            Ok(Ok(Ok(()))) => {
                let mut login = self.grant.lock();
                if login.number == self.number && *login.refresh_token == *token {
                    login.is_unsaved = false;
                }
                return;
            }
            Ok(Ok(Err(error))) => error,
            Ok(Err(_)) => "the hook panicked".into(),
            Err(_) => {
                saving.abort();
                format!("the hook did not finish within {} s", SAVE_TIMEOUT.as_secs()).into()
            }
        };
        let observer = self.grant.lock().observer.clone();
        observer.observe(&Event::RefreshTokenNotSaved { error: &*error });
    }
}
