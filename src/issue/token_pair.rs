use std::{
    fmt,
    time::{Duration, SystemTime},
};

use serde_json::Value;

use super::access_token::AccessToken;

/// An access token and the refresh token for the next one.
///
/// [`to_json`](Self::to_json) is the response of a token endpoint (RFC 6749 §5.1):
///
/// ```
/// use tower_auth::issue::TokenPair;
///
/// fn body(tokens: &TokenPair) -> String {
///     tokens.to_json().to_string()
/// }
/// ```
#[derive(Clone)]
pub struct TokenPair {
    pub(super) access: AccessToken,
    pub(super) refresh_token: String,
    pub(super) refresh_expires_at: SystemTime,
    pub(super) sends_cookie: bool,
}

impl TokenPair {
    /// Returns the access token: a JWT of the type `at+jwt` (RFC 9068), or an [opaque
    /// token](super::TokenIssuerBuilder::opaque_access_tokens).
    #[must_use]
    pub fn access_token(&self) -> &str {
        &self.access.text
    }

    /// Returns the scheme with which the access token is sent: `Bearer`, or `DPoP` if it is bound
    /// to a key for DPoP.
    #[must_use]
    pub fn token_type(&self) -> &str {
        self.access.token_type
    }

    /// Returns the refresh token. It replaces the previous one.
    #[must_use]
    pub fn refresh_token(&self) -> &str {
        &self.refresh_token
    }

    /// Returns how long the access token is valid, in whole seconds.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        self.access.expires_in
    }

    /// Returns when the refresh token expires, unless it is used before.
    #[must_use]
    pub fn refresh_expires_at(&self) -> SystemTime {
        self.refresh_expires_at
    }

    /// Returns the scopes of the access token, separated by spaces.
    #[must_use]
    pub fn scope(&self) -> &str {
        &self.access.scope
    }

    /// Returns the response of a token endpoint (RFC 6749 §5.1).
    ///
    /// Send it with `Cache-Control: no-store`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut json = self.to_json_without_refresh_token();
        if let Some(members) = json.as_object_mut() {
            members.insert("refresh_token".into(), self.refresh_token.as_str().into());
        }
        json
    }

    /// Returns the response if the refresh token is in a cookie.
    pub(super) fn to_json_without_refresh_token(&self) -> Value {
        self.access.to_json()
    }
}

/// Hides the tokens.
impl fmt::Debug for TokenPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenPair")
            .field("expires_in", &self.access.expires_in)
            .field("scope", &self.access.scope)
            .finish_non_exhaustive()
    }
}
