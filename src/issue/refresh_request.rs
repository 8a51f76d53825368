use std::fmt;

use crate::one_or_many::OneOrMany;

/// A refresh token, and what a client asks for.
///
/// ```
/// use tower_auth::issue::{RefreshError, RefreshRequest, TokenIssuer, TokenPair};
///
/// async fn read_only(issuer: &TokenIssuer, token: &str) -> Result<TokenPair, RefreshError> {
///     issuer.refresh(RefreshRequest::new(token).client_id("console").scopes(["read"])).await
/// }
/// ```
#[derive(Clone)]
pub struct RefreshRequest {
    pub(super) token: String,
    pub(super) client_id: Option<String>,
    pub(super) scopes: Option<Vec<String>>,
}

impl RefreshRequest {
    /// Asks for tokens with the scopes of the login.
    #[must_use]
    pub fn new(refresh_token: impl Into<String>) -> Self {
        Self { token: refresh_token.into(), client_id: None, scopes: None }
    }

    /// Sets the client that sends the request. The default is
    /// [`TokenIssuerBuilder::client_id`](super::TokenIssuerBuilder::client_id).
    #[must_use]
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = Some(client_id.into());
        self
    }

    /// Asks for an access token with fewer scopes (RFC 6749 §6). The next refresh can ask for all
    /// again.
    #[must_use]
    pub fn scopes<K>(mut self, scopes: impl OneOrMany<str, K>) -> Self {
        self.scopes = Some(scopes.values().map(|scope| scope.as_ref().to_owned()).collect());
        self
    }
}

impl From<&str> for RefreshRequest {
    fn from(refresh_token: &str) -> Self {
        Self::new(refresh_token)
    }
}

/// Hides the token.
impl fmt::Debug for RefreshRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshRequest")
            .field("client_id", &self.client_id)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}
