use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::{
    authorization::AuthorizationSource,
    destination::Rules,
    service::{Attach, Shared},
};
use crate::{config_error::ConfigError, url::Origin};

/// Attaches [`AuthorizationSource`] to each request that a client sends, as its `Authorization`.
///
/// A request that has an `Authorization` already is left as it is.
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
/// Credentials go to loopback, and elsewhere only where the URL's scheme says that they are encrypted:
/// see [`dangerous_allow_plaintext`](Self::dangerous_allow_plaintext). A URL that is a path alone, as
/// a tonic client's is, tells nothing of this, and passes.
pub struct AttachLayer<C> {
    shared: Shared<C>,
}

impl<C: AuthorizationSource> AttachLayer<C> {
    /// Attaches these to every request.
    pub fn new(credentials: C) -> Self {
        Self { shared: Shared { credentials: Arc::new(credentials), rules: Rules::default() } }
    }
}

impl<C> AttachLayer<C> {
    /// Keeps the credentials to this origin, such as `https://api.example`, and to those of other calls.
    ///
    /// A request to another fails with [`OtherOrigin`](super::AttachErrorKind::OtherOrigin): one that was
    /// to be authenticated is not sent by a stranger, unnoticed, to wherever a link in an answer led. For
    /// a client that talks to others, too, see [`pass_others`](Self::pass_others).
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
    /// If it is no origin: a scheme, a host, and a port where it is not the usual one.
    pub fn only_to(mut self, origin: &str) -> Result<Self, ConfigError> {
        self.shared.rules.origins.push(Origin::parse(origin)?);
        Ok(self)
    }

    /// Lets requests to origins that are not [listed](Self::only_to) go, without credentials. So several
    /// layers can each have credentials for origins of their own. Where none is listed, there are no others.
    #[must_use]
    pub fn pass_others(mut self) -> Self {
        self.shared.rules.pass_others = true;
        self
    }

    /// Attaches credentials to requests whose URL says that they go in the clear, too.
    ///
    /// # Security
    ///
    /// Whoever is on the way can then read them, and use them. It is for where something else encrypts,
    /// such as a service mesh, or for a scheme which is not known here.
    #[must_use]
    pub fn dangerous_allow_plaintext(mut self) -> Self {
        self.shared.rules.plaintext = true;
        self
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
