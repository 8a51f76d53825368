/// What still gives access after [`TokenIssuer::logout_everywhere`].
///
/// These are the API keys of the user, if the issuer knows them: see
/// `TokenIssuerBuilder::api_keys` (feature `api-key`).
///
/// ```
/// # #[cfg(feature = "api-key")] {
/// use tower_auth::issue::{IssueError, TokenIssuer};
///
/// /// Logs a user out, and returns the names of the keys that remain.
/// async fn log_out(issuer: &TokenIssuer, user: &str) -> Result<Vec<String>, IssueError> {
///     let remaining = issuer.logout_everywhere(user).await?;
///     Ok(remaining.api_keys().iter().map(|key| key.name.to_string()).collect())
/// }
/// # }
/// ```
///
/// [`TokenIssuer::logout_everywhere`]: super::TokenIssuer::logout_everywhere
#[derive(Clone, Debug, Default)]
pub struct RemainingAccess {
    #[cfg(feature = "api-key")]
    pub(super) api_keys: Vec<crate::api_key::ApiKeyInfo>,
}

#[cfg(feature = "api-key")]
impl RemainingAccess {
    /// Returns the API keys of the user that are neither revoked nor expired.
    ///
    /// They remain valid because programs use them that do not log in again. Show them to the user,
    /// who can then revoke those that are not known.
    #[must_use]
    pub fn api_keys(&self) -> &[crate::api_key::ApiKeyInfo] {
        &self.api_keys
    }
}
