use super::{
    error::IssueError, issuer_metadata::IssuerMetadataBuilder, jwks_document::JwksDocument,
    keys::key_info::KeyInfo, token_issuer::TokenIssuer,
};

/// The keys of the issuer. See [`SigningKeys`](super::SigningKeys) for what happens on its own.
impl TokenIssuer {
    /// Returns the service that publishes the keys, for `/.well-known/jwks.json`.
    ///
    /// ```
    /// use axum::Router;
    /// use tower_auth::issue::TokenIssuer;
    ///
    /// # fn f(issuer: TokenIssuer) -> Router {
    /// Router::new().route_service("/.well-known/jwks.json", issuer.jwks_document())
    /// # }
    /// ```
    #[must_use]
    pub fn jwks_document(&self) -> JwksDocument {
        JwksDocument::new(self.0.keys.clone(), self.0.observer.clone())
    }

    /// Creates a builder for the metadata of the issuer (RFC 8414).
    ///
    /// ```
    /// use axum::Router;
    /// use tower_auth::issue::TokenIssuer;
    ///
    /// # fn f(issuer: TokenIssuer) -> Result<Router, tower_auth::ConfigError> {
    /// let metadata = issuer.metadata().build()?;
    /// let app = Router::new().route_service(&metadata.path().to_owned(), metadata);
    /// # Ok(app) }
    /// ```
    pub fn metadata(&self) -> IssuerMetadataBuilder {
        IssuerMetadataBuilder::new(&self.0.issuer)
    }

    /// Describes the keys that sign access tokens and authenticate refresh tokens. Reads them
    /// first.
    ///
    /// ```
    /// use tower_auth::issue::{KeyState, TokenIssuer};
    ///
    /// # async fn f(issuer: TokenIssuer) -> Result<(), tower_auth::issue::IssueError> {
    /// for key in issuer.keys().await? {
    ///     println!("{} {:?} {:?}", key.id(), key.key_use(), key.state());
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the keys cannot be read.
    pub async fn keys(&self) -> Result<Vec<KeyInfo>, IssueError> {
        Ok(self.0.keys.list().await?)
    }

    /// Makes the next signing key the active one now, and creates a new successor.
    ///
    /// Keys rotate on their own, so this is for special cases, such as a policy that requires a
    /// rotation when an administrator leaves. No valid token is rejected, unless this is called
    /// again before [`publish_ahead`](super::SigningKeys::publish_ahead) has passed: other services
    /// may then not know the new successor yet.
    ///
    /// A key that has leaked stays valid. Call [`remove_key`](Self::remove_key) for it.
    ///
    /// ```
    /// # use tower_auth::issue::TokenIssuer;
    /// # async fn f(issuer: TokenIssuer) -> Result<(), tower_auth::issue::IssueError> {
    /// issuer.rotate_keys().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`Invalid`](IssueError::Invalid) for a key of
    /// [`SigningKeys::from_pem`](super::SigningKeys::from_pem) or `from_hs256_secret`, which does
    /// not rotate. Returns [`Unavailable`](IssueError::Unavailable) if the keys cannot be read or
    /// written, or if there are already 16.
    pub async fn rotate_keys(&self) -> Result<(), IssueError> {
        if self.0.keys.is_fixed() {
            return Err(IssueError::Invalid(
                "the signing key does not rotate: pass another one to SigningKeys",
            ));
        }
        Ok(self.0.keys.rotate().await?)
    }

    /// Drops a key now, for example because it has leaked. Returns whether a key with this id
    /// existed.
    ///
    /// - The access tokens of a **signing key** are rejected: in this process within 10 s, in other
    ///   instances within a minute, and in other services when they fetch the keys again. If the
    ///   key was active, its successor signs from now on, which other services know already.
    /// - The refresh tokens of a **MAC key** are rejected: in this process at once, in other
    ///   instances within 65 s. The logins end, and users have to log in again. A thief can have
    ///   continued a login before: its refresh token has the active key by now. So also call
    ///   [`Revocations::issuer`](crate::revocation::Revocations::issuer), which ends all logins and
    ///   rejects their access tokens.
    ///
    /// If all keys may have leaked, remove each of [`keys`](Self::keys), also the successors.
    ///
    /// Keys that were passed to [`SigningKeys`](super::SigningKeys) do not belong to the issuer:
    /// remove them from the configuration.
    ///
    /// ```
    /// # use tower_auth::issue::TokenIssuer;
    /// # async fn f(issuer: TokenIssuer) -> Result<(), tower_auth::issue::IssueError> {
    /// let existed = issuer.remove_key("fGY5_mm2kdI").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the keys cannot be read or written. The key may then still be valid: try
    /// again.
    pub async fn remove_key(&self, id: &str) -> Result<bool, IssueError> {
        Ok(self.0.keys.remove(id).await?)
    }
}
