//! Logins at providers that support OAuth 2.0 only.

use std::sync::Arc;

use tokio::time::timeout;

use super::{
    authorization_request::of_endpoint,
    id_token::{MAX_SUBJECT, invalid},
    identity::IdentityFn,
    login::Login,
    login_error::{LoginError, LoginErrorKind},
    oidc_login::State,
};
use crate::client::token_response::TokenResponse;

impl State {
    /// Asks the provider who the user of an access token is.
    pub(super) async fn identify(
        &self,
        identity: &IdentityFn,
        response: TokenResponse,
    ) -> Result<Option<Login>, LoginError> {
        // GitHub separates scopes with commas.
        let scope = response.scope.map(|scope| scope.replace(',', " "));
        let token = self.provider_token(response.access.map_err(of_endpoint)?, scope);
        let user = match timeout(self.timeout, identity(token.clone())).await {
            Ok(user) => user?,
            Err(_) => {
                return Err(LoginError::new(LoginErrorKind::Unavailable).because(format!(
                    "the closure of `identity` did not complete within {} s",
                    self.timeout.as_secs_f64()
                )));
            }
        };
        let length = user.subject.chars().count();
        if user.issuer.is_empty() || length == 0 || length > MAX_SUBJECT {
            return Err(invalid(
                "the identity needs a name of the provider, and a subject of 1 to 255 characters",
            ));
        }
        let issuer = Arc::from(user.issuer);
        Ok(Login::new(issuer, &user.subject, user.claims, token, response.refresh_token))
    }
}
