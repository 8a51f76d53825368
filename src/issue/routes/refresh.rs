use std::sync::Arc;

use http::request::Parts;
use zeroize::Zeroizing;

use super::{failure::Failure, parameters::Parameters, reply::Reply, token_routes::RoutesState};
use crate::{
    clock::SharedClock,
    config_error::ConfigError,
    credentials::{CredentialsError, cookie, set_cookie::SetCookie},
    issue::{error::RefreshError, refresh_request::RefreshRequest, token_issuer::TokenIssuer},
};

/// The name of the cookie of a refresh token.
pub(super) const COOKIE: &str = "__Host-refresh";

impl TokenIssuer {
    /// Returns the cookie of a refresh token.
    pub(crate) fn refresh_cookie(&self) -> Result<SetCookie, ConfigError> {
        let clock = SharedClock(Arc::clone(&self.0.clock));
        Ok(SetCookie::new(COOKIE)?.strict().clock(clock))
    }
}

impl RoutesState {
    /// Exchanges a refresh token. The response never removes a cookie: it could be that of a later
    /// login.
    pub(super) async fn refresh(
        &self,
        head: &Parts,
        mut parameters: Parameters,
    ) -> Result<Reply, Failure> {
        if parameters.get("grant_type").is_some_and(|grant_type| grant_type != "refresh_token") {
            return Err(Failure::invalid_request("the grant_type is not refresh_token")
                .error("unsupported_grant_type"));
        }
        let missing = || {
            let failure = Failure::invalid_request("the request has no refresh token");
            // A page that has lost its cookie then gets the same error as with an old one.
            if self.cookie.is_some() { failure.error("invalid_grant") } else { failure }
        };
        let token = self.refresh_token(head, &mut parameters)?.ok_or_else(missing)?;
        let mut request = RefreshRequest::new(&**token);
        if let Some(client_id) = parameters.take_client_id()? {
            request = request.client_id(client_id);
        }
        if let Some(scopes) = parameters.take_scopes() {
            if scopes.is_empty() {
                return Err(RefreshError::InvalidScope.into());
            }
            request = request.scopes(scopes);
        }
        match self.issuer.0.refresh(request, self.summary(head)).await {
            Ok(tokens) => self.tokens_reply(&tokens, tokens.sends_cookie),
            Err(RefreshError::Malformed) => {
                // Only now: a valid token causes no work, and is accepted whatever the other
                // clients at this address send. After the removal of a key, all of them send
                // tokens of that key, and must learn that they have to log in.
                if let Some(throttle) = self.passwords.as_ref().and_then(|all| all.login_throttle())
                    && !self.issuer.0.has_unknown_key(&token)
                {
                    throttle.check_address(head)?;
                    throttle.record_failure(head);
                }
                Err(RefreshError::Malformed.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the refresh token in the body or in the cookie.
    pub(super) fn refresh_token(
        &self,
        head: &Parts,
        parameters: &mut Parameters,
    ) -> Result<Option<Zeroizing<String>>, Failure> {
        match (parameters.take("refresh_token"), self.token_in_cookie(head)?) {
            (Some(_), Some(_)) => {
                Err(Failure::invalid_request("the request has a refresh token and a cookie"))
            }
            (sent, None) => Ok(sent),
            (None, stored) => Ok(stored),
        }
    }

    /// Returns the refresh token in the cookie, if the routes use it.
    pub(super) fn token_in_cookie(
        &self,
        head: &Parts,
    ) -> Result<Option<Zeroizing<String>>, CredentialsError> {
        let found = self.cookie.as_ref().and_then(|_| cookie::find(&head.headers, COOKIE));
        // Other text than UTF-8 is no token of this issuer either.
        Ok(found.transpose()?.map(|value| String::from_utf8_lossy(value).into_owned().into()))
    }
}
