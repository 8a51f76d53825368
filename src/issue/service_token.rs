use std::{fmt, time::Duration};

use serde_json::Value;

use super::access_token::{AccessToken, check_length, token_response};

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
pub struct ServiceToken {
    access_token: String,
    expires_in: Duration,
    scope: String,
}

impl ServiceToken {
    pub(super) fn new(token: AccessToken) -> Result<Self, &'static str> {
        check_length(&token.text)?;
        let AccessToken { text, expires_in, scope } = token;
        Ok(Self { access_token: text, expires_in, scope })
    }

    /// Returns the response of a token endpoint (RFC 6749 §5.1).
    pub(super) fn to_json(&self) -> Value {
        token_response(&self.access_token, self.expires_in, &self.scope)
    }

    /// Returns the access token: a JWT of the type `at+jwt` (RFC 9068).
    #[must_use]
    pub fn access_token(&self) -> &str {
        &self.access_token
    }

    /// Returns how long the access token is valid, in whole seconds.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        self.expires_in
    }

    /// Returns the scopes of the access token, separated by spaces.
    #[must_use]
    pub fn scope(&self) -> &str {
        &self.scope
    }
}

/// Hides the token.
impl fmt::Debug for ServiceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceToken")
            .field("expires_in", &self.expires_in)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}
