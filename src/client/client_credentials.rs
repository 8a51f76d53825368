use super::{
    error::BoxError,
    grant_parameters::GrantParameters,
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
    parameters: GrantParameters,
}

impl ClientCredentials {
    /// Creates a source of tokens for the client of this endpoint.
    pub fn new(endpoint: TokenEndpoint) -> Self {
        Self { endpoint, parameters: GrantParameters::new("client_credentials") }
    }

    /// Requests these scopes. By default, and with an empty list, the issuer decides.
    pub fn scopes<K>(mut self, scopes: impl OneOrMany<str, K>) -> Self {
        self.parameters.set_scopes(scopes);
        self
    }

    /// Requests tokens for these audiences, for issuers with the parameter `audience`, such as
    /// Auth0.
    pub fn audience<K>(mut self, audiences: impl OneOrMany<str, K>) -> Self {
        self.parameters.add("audience", audiences);
        self
    }

    /// Requests tokens for these resources (`resource`, RFC 8707).
    pub fn resource<K>(mut self, resources: impl OneOrMany<str, K>) -> Self {
        self.parameters.add("resource", resources);
        self
    }
}

impl TokenSource for ClientCredentials {
    async fn token(&self) -> Result<Token, BoxError> {
        let response = self.endpoint.request(&self.parameters.pairs()).await;
        Ok(response.and_then(|response| response.access).map_err(|failure| failure.error)?)
    }
}
