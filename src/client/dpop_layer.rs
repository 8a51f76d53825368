use std::{fmt, sync::Arc};

use http::HeaderValue;
use tower_layer::Layer;

use super::{
    authorization::AuthorizationSource,
    dpop_nonces::Nonces,
    dpop_service::{AttachDpop, DpopState},
    layer::AttachLayer,
    refreshing::RefreshingToken,
};
use crate::dpop::DpopKey;

impl<C: AuthorizationSource> AttachLayer<C> {
    /// Sends the tokens with proofs of possession of this key (DPoP, RFC 9449).
    ///
    /// Each attempt to send a request gets a proof of its own, in the header `DPoP`. It is for the
    /// method and the URL of the request, and for the token. If a server requires a nonce, the
    /// layer remembers the most recent one of each origin, for up to 256 origins.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http_body_util::Full;
    /// use tower::ServiceBuilder;
    /// use tower_auth::{
    ///     client::{AttachLayer, RefreshingToken},
    ///     dpop::DpopKey,
    /// };
    ///
    /// # type Error = tower_auth::ConfigError;
    /// # fn f<S>(client: S, token: RefreshingToken, key: DpopKey) -> Result<(), Error> {
    /// let layer = AttachLayer::new(token)
    ///     .only_to("https://api.example")?
    ///     .dpop(key)
    ///     .resend(|body: &Full<Bytes>| Some(body.clone()));
    /// let client = ServiceBuilder::new().layer(layer).service(client);
    /// # Ok(()) }
    /// ```
    ///
    /// The source must provide tokens that are bound to the same key: from an endpoint with
    /// [`TokenEndpointBuilder::dpop`](super::TokenEndpointBuilder::dpop), as
    /// [`Token::dpop`](super::Token::dpop), or a [`DpopToken`](super::DpopToken). A request fails
    /// with [`Source`](super::AttachErrorKind::Source) if the value for `Authorization` has another
    /// scheme, such as `Bearer`.
    ///
    /// A proof names the whole URL. So a request whose URL has no host, as in a tonic client, fails
    /// with [`Proof`](super::AttachErrorKind::Proof), unless exactly one origin is listed with
    /// [`only_to`](Self::only_to): its URL is then that of this origin.
    ///
    /// # Security
    ///
    /// - A stolen token is useless without the key. An attacker who can read the memory of this
    ///   process, or run code in it, has both.
    /// - A proof does not cover the query, the headers and the body of the request.
    /// - If the inner service follows a redirect, it sends the old proof, which the new URL
    ///   rejects. Follow redirects outside of this layer instead.
    pub fn dpop(self, key: DpopKey) -> AttachDpopLayer<C> {
        let state =
            DpopState { shared: self.into_shared(), key, nonces: Nonces::new(), discard: None };
        AttachDpopLayer { state: Arc::new(state), clone_body: () }
    }
}

/// Adds a token and a proof of possession to each request.
///
/// [`AttachLayer::dpop`] creates it. Clones and their services share the nonces.
pub struct AttachDpopLayer<C, F = ()> {
    state: Arc<DpopState<C>>,
    clone_body: F,
}

/// Clones a body, to send it again if necessary. `()` never does.
pub trait CloneBody<B> {
    /// Returns `None` if the body cannot be sent again.
    fn clone_body(&self, body: &B) -> Option<B>;
}

impl<B> CloneBody<B> for () {
    fn clone_body(&self, _: &B) -> Option<B> {
        None
    }
}

impl<B, F: Fn(&B) -> Option<B>> CloneBody<B> for Arc<F> {
    fn clone_body(&self, body: &B) -> Option<B> {
        self(body)
    }
}

impl<C, F> AttachDpopLayer<C, F> {
    /// Sends a request once more, with the new nonce, if the server asks for one
    /// (`use_dpop_nonce`).
    ///
    /// This happens at the first request to an origin, and when its nonce has expired. Without this
    /// setting, or if `clone_body` returns `None`, the caller gets the response of the server, with
    /// the status 401, and the next request has the nonce. Set it unless all bodies are streams.
    ///
    /// A server must not have acted on a request that it rejects with 401.
    pub fn resend<G>(self, clone_body: G) -> AttachDpopLayer<C, Arc<G>> {
        AttachDpopLayer { state: self.state, clone_body: Arc::new(clone_body) }
    }
}

impl<F> AttachDpopLayer<RefreshingToken, F> {
    /// Like [`resend`](Self::resend), and also replaces a token that a server rejects, as
    /// [`AttachLayer::retry_unauthorized`] does.
    ///
    /// A request is sent at most three times: with the first token, with a nonce, and with a new
    /// token.
    pub fn retry_unauthorized<G>(self, clone_body: G) -> AttachDpopLayer<RefreshingToken, Arc<G>> {
        let discard: fn(&RefreshingToken, &HeaderValue) = RefreshingToken::discard;
        let state = DpopState { discard: Some(discard), ..self.state.fork() };
        AttachDpopLayer { state: Arc::new(state), clone_body: Arc::new(clone_body) }
    }
}

impl<S, C, F: Clone> Layer<S> for AttachDpopLayer<C, F> {
    type Service = AttachDpop<S, C, F>;

    fn layer(&self, inner: S) -> Self::Service {
        let state = Arc::clone(&self.state);
        AttachDpop { inner, state, clone_body: self.clone_body.clone() }
    }
}

impl<C, F: Clone> Clone for AttachDpopLayer<C, F> {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state), clone_body: self.clone_body.clone() }
    }
}

impl<C, F> fmt::Debug for AttachDpopLayer<C, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttachDpopLayer")
            .field("rules", &self.state.shared.rules)
            .field("key", &self.state.key)
            .finish_non_exhaustive()
    }
}
