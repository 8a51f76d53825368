use super::{
    error::BoxError,
    source::{Token, TokenSource},
    token_endpoint::TokenEndpoint,
};
use crate::one_or_many::OneOrMany;

/// Tokens for the client itself (client credentials grant, RFC 6749 §4.4).
///
/// ```no_run
/// # #[cfg(feature = "jwks-reqwest")] {
/// use tower_auth::client::{AttachLayer, ClientCredentials, RefreshingToken, TokenEndpoint};
///
/// # let secret = "";
/// let endpoint = TokenEndpoint::discover("https://issuer.example")
///     .client_id("orders")
///     .client_secret(secret)
///     .build()?;
/// let grant = ClientCredentials::new(endpoint).scopes(["stock:read", "stock:reserve"]);
/// let layer = AttachLayer::new(RefreshingToken::new(grant)).only_to("https://stock.example")?;
/// # }
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
///
/// If the issuer does not send a lifetime, the token is used until it is
/// [invalidated](super::RefreshingToken::invalidate).
#[derive(Clone, Debug)]
#[must_use = "pass it to RefreshingToken::new"]
pub struct ClientCredentials {
    endpoint: TokenEndpoint,
    /// The parameters of each request.
    parameters: Vec<(&'static str, String)>,
}

impl ClientCredentials {
    /// Creates a source of tokens for the client of this endpoint.
    pub fn new(endpoint: TokenEndpoint) -> Self {
        let grant_type = ("grant_type", "client_credentials".to_owned());
        Self { endpoint, parameters: vec![grant_type] }
    }

    /// Requests these scopes. By default, the issuer decides.
    pub fn scopes<K>(mut self, scopes: impl OneOrMany<str, K>) -> Self {
        let scopes: Vec<_> = scopes.values().map(|scope| scope.as_ref().to_owned()).collect();
        self.parameters.retain(|(name, _)| *name != "scope");
        self.with("scope", scopes.join(" "))
    }

    /// Requests tokens for these audiences, for issuers with the parameter `audience`, such as
    /// Auth0.
    pub fn audience<K>(self, audiences: impl OneOrMany<str, K>) -> Self {
        self.with("audience", audiences)
    }

    /// Requests tokens for these resources (`resource`, RFC 8707).
    pub fn resource<K>(self, resources: impl OneOrMany<str, K>) -> Self {
        self.with("resource", resources)
    }

    fn with<K>(mut self, name: &'static str, values: impl OneOrMany<str, K>) -> Self {
        self.parameters.extend(values.values().map(|value| (name, value.as_ref().to_owned())));
        self
    }
}

impl TokenSource for ClientCredentials {
    async fn token(&self) -> Result<Token, BoxError> {
        let parameters: Vec<_> =
            self.parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let response = self.endpoint.request(&parameters).await;
        Ok(response.and_then(|response| response.access).map_err(|failure| failure.error)?)
    }
}
