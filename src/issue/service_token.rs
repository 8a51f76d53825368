use std::{fmt, time::Duration};

use serde_json::Value;

use super::access_token::AccessToken;

/// An access token of a service, which has no refresh token.
///
/// [`TokenIssuer::exchange`](super::TokenIssuer::exchange) and
/// [`TokenIssuer::issue_to_client`](super::TokenIssuer::issue_to_client) return it.
///
/// ```
/// use http::HeaderValue;
/// use tower_auth::issue::ServiceToken;
///
/// fn authorization(token: &ServiceToken) -> Result<HeaderValue, http::Error> {
///     let mut value = HeaderValue::try_from(format!("Bearer {}", token.access_token()))?;
///     value.set_sensitive(true);
///     Ok(value)
/// }
/// ```
#[derive(Clone)]
pub struct ServiceToken(AccessToken);

impl ServiceToken {
    pub(super) fn new(token: AccessToken) -> Self {
        Self(token)
    }

    /// Returns the response of a token endpoint (RFC 6749 §5.1).
    pub(super) fn to_json(&self) -> Value {
        self.0.to_json()
    }

    /// Returns the access token: a JWT of the type `at+jwt` (RFC 9068), or an [opaque
    /// token](super::TokenIssuerBuilder::opaque_access_tokens).
    #[must_use]
    pub fn access_token(&self) -> &str {
        &self.0.text
    }

    /// Returns the scheme with which the access token is sent: `Bearer`, or `DPoP` if it is bound
    /// to a key for DPoP.
    #[must_use]
    pub fn token_type(&self) -> &str {
        self.0.token_type
    }

    /// Returns how long the access token is valid, in whole seconds.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        self.0.expires_in
    }

    /// Returns the scopes of the access token, separated by spaces.
    #[must_use]
    pub fn scope(&self) -> &str {
        &self.0.scope
    }
}

/// Hides the token.
impl fmt::Debug for ServiceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceToken")
            .field("expires_in", &self.0.expires_in)
            .field("scope", &self.0.scope)
            .finish_non_exhaustive()
    }
}
