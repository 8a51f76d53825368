use std::sync::Arc;

use jsonwebtoken::Algorithm;

use super::oidc_login::{OidcLogin, Provider};
use crate::{
    config_error::ConfigError, jwks::jwks::Jwks, revocation::backchannel::BackchannelLogout,
};

/// What verifies the logout tokens of an OpenID provider: the keys of its ID tokens.
pub(super) struct LogoutKeys {
    pub(super) keys: Jwks,
    pub(super) algorithms: Option<Vec<Algorithm>>,
}

impl OidcLogin {
    /// Returns the service that receives the logout tokens of the provider (OpenID Connect
    /// Back-Channel Logout). They end the sessions of a user who has logged out there.
    ///
    /// It has the issuer, the keys, the client id, the clock and the observer of this login, and
    /// the revocations of its [`Sessions`](crate::session::Sessions). Register its URL at the
    /// provider, as `backchannel_logout_uri`.
    ///
    /// ```
    /// use axum::Router;
    /// use tower_auth::{ConfigError, oidc_login::OidcLogin};
    ///
    /// fn app(login: OidcLogin, pages: Router) -> Result<Router, ConfigError> {
    ///     let logout = login.backchannel_logout()?;
    ///     // Outside the authentication layer: the provider has no session.
    ///     Ok(pages.merge(login.into_router()).route_service("/backchannel-logout", logout))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the provider supports OAuth 2.0 only, or if this login issues tokens:
    /// they do not have the `sid` of the provider, so a logout there would not end them.
    pub fn backchannel_logout(&self) -> Result<BackchannelLogout, ConfigError> {
        let state = &*self.0;
        let Provider::OpenId { issuer, logout_keys, .. } = &state.provider else {
            return Err(ConfigError::conflict(
                "backchannel_logout needs an OpenID provider: use OidcLogin::discover",
            ));
        };
        let Some(sessions) = &state.routes.sessions else {
            return Err(ConfigError::conflict(
                "backchannel_logout ends sessions, and this login issues tokens: call sessions \
                 instead of tokens",
            ));
        };
        let LogoutKeys { keys, algorithms } = &**logout_keys;
        let clock = Arc::clone(&state.clock);
        let mut logout = BackchannelLogout::builder(keys.clone())
            .issuer(&**issuer)
            .client_id(state.client_id.as_str())
            .revocations(sessions.revocations().clone())
            .leeway(state.leeway)
            .clock(move || clock.now())
            .shared_observer(state.routes.observer.clone());
        if let Some(algorithms) = algorithms {
            logout = logout.algorithms(algorithms);
        }
        logout.build()
    }
}
