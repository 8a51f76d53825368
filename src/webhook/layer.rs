use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::{
    builder::WebhookLayerBuilder,
    format::WebhookFormat,
    receiver::Receiver,
    service::{Shared, Webhook},
};
use crate::{observe::observer::Observer, respond::Inherit};

/// Verifies webhooks, and calls the inner service once for each event.
///
/// The inner service gets the body that was verified, as [`Full<Bytes>`](http_body_util::Full), and
/// the sender as the [`Principal`](crate::Principal) in the extensions of the request. See the
/// [module](super) for examples and responses.
///
/// ```
/// use axum::{Router, body::Bytes, routing::post};
/// use tower_auth::{store::SealedStore, webhook::{WebhookFormat, WebhookLayer}};
///
/// # fn f(secret: &str) -> Result<(), tower_auth::ConfigError> {
/// let github = WebhookLayer::builder(WebhookFormat::github())
///     .secret(secret)
///     .store(SealedStore::memory())
///     .build()?;
///
/// let app: Router = Router::new()
///     .route("/github", post(async |body: Bytes| format!("{} bytes", body.len())).layer(github));
/// # Ok(()) }
/// ```
#[must_use]
pub struct WebhookLayer<R = Inherit> {
    shared: Arc<Shared<R>>,
}

impl WebhookLayer {
    /// Creates a builder for webhooks of this format.
    pub fn builder(format: WebhookFormat) -> WebhookLayerBuilder {
        WebhookLayerBuilder::new(format)
    }

    pub(super) fn new(receiver: Receiver, observer: Observer) -> Self {
        let (receiver, responder) = (Arc::new(receiver), Arc::new(Inherit::default()));
        Self { shared: Arc::new(Shared { receiver, responder, observer }) }
    }
}

impl<R> WebhookLayer<R> {
    /// Sets the responder, which creates the responses to rejected requests.
    ///
    /// It also renders the rejections of everything inside this layer. The default is
    /// [`Inherit`]: an enclosing layer with a responder renders them, or else their body is empty.
    ///
    /// The status must not be a 2xx, as that of [`GrpcStatus`](crate::respond::GrpcStatus): a
    /// sender would take a rejected event for a handled one, and not send it again.
    pub fn responder<R2>(self, responder: R2) -> WebhookLayer<R2> {
        let receiver = Arc::clone(&self.shared.receiver);
        let observer = self.shared.observer.clone();
        let responder = Arc::new(responder);
        WebhookLayer { shared: Arc::new(Shared { receiver, responder, observer }) }
    }
}

impl<S, R> Layer<S> for WebhookLayer<R> {
    type Service = Webhook<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        Webhook::new(inner, Arc::clone(&self.shared))
    }
}

impl<R> Clone for WebhookLayer<R> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<R> fmt::Debug for WebhookLayer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookLayer")
            .field("receiver", &self.shared.receiver)
            .finish_non_exhaustive()
    }
}
