use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::{
    authorization::AuthorizationSource,
    destination::DestinationRules,
    service::{Attach, Shared},
};
use crate::{config_error::ConfigError, origin::Origin};

/// Adds an `Authorization` header to each request that a client sends.
///
/// The value comes from an [`AuthorizationSource`]. Requests that already have an `Authorization`
/// header are passed through unchanged.
///
/// ```
/// use tower::ServiceBuilder;
/// use tower_auth::client::{AttachLayer, BasicAuthorization};
/// # use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// # type Body = http_body_util::Empty<bytes::Bytes>;
///
/// # let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build_http();
/// let layer = AttachLayer::new(BasicAuthorization::new("alice", "correct horse")?)
///     .only_to("https://api.example")?;
/// let client = ServiceBuilder::new().layer(layer).service(client);
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
///
/// # Security
///
/// Credentials are sent only if the scheme of the URL is `https` or `wss`, or the host is loopback.
/// See [`dangerous_allow_plaintext`](Self::dangerous_allow_plaintext). A URL without a host, as in
/// a tonic client, cannot be checked, and is accepted.
pub struct AttachLayer<C> {
    shared: Shared<C>,
}

impl<C: AuthorizationSource> AttachLayer<C> {
    /// Creates a layer that adds these credentials to every request.
    pub fn new(credentials: C) -> Self {
        let source = Arc::new(credentials);
        Self { shared: Shared { source, rules: DestinationRules::default() } }
    }
}

impl<C> AttachLayer<C> {
    /// Restricts the credentials to an origin, such as `https://api.example`.
    ///
    /// Call this method several times to list several origins. A request to any other origin fails
    /// with [`OtherOrigin`](super::AttachErrorKind::OtherOrigin), so that a request that needs
    /// credentials is not sent without them unnoticed. If the client also sends requests to other
    /// origins, see [`pass_others`](Self::pass_others).
    ///
    /// ```
    /// # use tower_auth::client::{AttachLayer, BearerToken};
    /// let layer = AttachLayer::new(BearerToken::new("mF_9.B5f-4.1JqM")?)
    ///     .only_to("https://api.example")?
    ///     .only_to("https://files.example:8443")?;
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if `origin` is not a scheme, a host, and optionally a port, or if the host
    /// or the port is impossible. There are no wildcards.
    pub fn only_to(mut self, origin: &str) -> Result<Self, ConfigError> {
        self.shared.rules.origins.push(Origin::parse(origin)?);
        Ok(self)
    }

    /// Sends requests to origins that are not [listed](Self::only_to) without credentials.
    ///
    /// Several layers can then each provide the credentials for different origins. Without a listed
    /// origin, this setting has no effect.
    #[must_use]
    pub fn pass_others(mut self) -> Self {
        self.shared.rules.pass_others = true;
        self
    }

    /// Adds credentials even if the scheme of the URL is not encrypted.
    ///
    /// # Security
    ///
    /// An attacker on the network can read and reuse the credentials. Call this method only if
    /// another component encrypts the connection, such as a service mesh, or if the URL has an
    /// encrypted scheme other than `https` and `wss`.
    #[must_use]
    pub fn dangerous_allow_plaintext(mut self) -> Self {
        self.shared.rules.plaintext = true;
        self
    }
}

#[cfg(feature = "dpop")]
impl<C> AttachLayer<C> {
    pub(super) fn into_shared(self) -> Shared<C> {
        self.shared
    }
}

impl<S, C> Layer<S> for AttachLayer<C> {
    type Service = Attach<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Attach { inner, shared: Arc::new(self.shared.clone()) }
    }
}

impl<C> Clone for AttachLayer<C> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<C> fmt::Debug for AttachLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttachLayer").field("rules", &self.shared.rules).finish_non_exhaustive()
    }
}
