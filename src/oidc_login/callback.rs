use http::{HeaderValue, request::Parts};

use super::{login::Login, login_error::LoginError, oidc_login::State};
use crate::session::{record::ProviderSession, return_to::ReturnTo};

/// The parameters of an authorization response (RFC 6749 §4.1.2, RFC 9207 §2).
#[derive(Default)]
pub(super) struct CallbackParameters {
    pub(super) code: Option<String>,
    pub(super) state: Option<String>,
    pub(super) iss: Option<String>,
    pub(super) error: Option<String>,
    pub(super) error_description: Option<String>,
    pub(super) error_uri: Option<String>,
}

/// A successful login.
pub(super) struct Completed {
    pub(super) login: Login,
    pub(super) return_to: ReturnTo,
    /// The id of the session that this login replaces.
    pub(super) replaces: Option<String>,
    /// The session at an OpenID provider.
    pub(super) provider: Option<ProviderSession>,
}

impl State {
    /// Completes the login that an authorization response belongs to.
    pub(super) async fn complete(
        &self,
        parameters: CallbackParameters,
        head: &Parts,
    ) -> Result<Completed, LoginError> {
        let _ = (parameters, head);
        todo!()
    }

    /// Returns the `Set-Cookie` values that remove the login cookie of this state.
    pub(super) fn expired_cookies(&self, state: Option<&str>, head: &Parts) -> Vec<HeaderValue> {
        let _ = (state, head);
        todo!()
    }

    /// Returns the URL that ends the session at the provider (OpenID Connect RP-Initiated Logout
    /// 1.0 §2), if the provider has one.
    pub(super) async fn end_session_url(&self, id_token_hint: Option<&str>) -> Option<String> {
        let _ = id_token_hint;
        todo!()
    }
}
