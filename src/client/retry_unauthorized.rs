use std::{
    fmt,
    future::{Future, poll_fn},
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderValue, Request, Response, StatusCode};
use tower_layer::Layer;
use tower_service::Service;

use super::{
    destination::Disposition,
    error::BoxError,
    layer::AttachLayer,
    refreshing::RefreshingToken,
    service::{Attach, with_authorization},
};
use crate::later::BoxFuture;

impl AttachLayer<RefreshingToken> {
    /// Replaces a token that a server rejects, and sends the request once more. See
    /// [the module](super#tokens-that-a-server-rejects) for an example.
    ///
    /// A response rejects the token if its status is 401, or its header `grpc-status` is 16. The
    /// token that was sent is then discarded as by [`RefreshingToken::invalidate`]: unless it is
    /// younger than the cooldown, so that a server that rejects every token does not cause a fetch
    /// for each request. The request is sent again if there is a new token and `clone_body` returns
    /// the body. Otherwise, the caller gets the response, and the next request gets a new token.
    ///
    /// With reqwest, whose requests can have `Bytes` as their body:
    ///
    #[cfg_attr(feature = "jwks-reqwest", doc = "```no_run")] // then reqwest is a dependency
    #[cfg_attr(not(feature = "jwks-reqwest"), doc = "```ignore")]
    /// use bytes::Bytes;
    /// use tower::ServiceBuilder;
    /// use tower_auth::client::{AttachLayer, RefreshingToken};
    ///
    /// # fn f(token: RefreshingToken) -> Result<(), tower_auth::ConfigError> {
    /// let layer = AttachLayer::new(token)
    ///     .only_to("https://api.example")?
    ///     .retry_unauthorized(|body: &Bytes| Some(body.clone()));
    /// let client = ServiceBuilder::new()
    ///     .layer(layer)
    ///     .map_response(|response: reqwest::Response| http::Response::from(response))
    ///     .filter(|request: http::Request<Bytes>| reqwest::Request::try_from(request))
    ///     .service(reqwest::Client::new());
    /// # Ok(()) }
    /// ```
    ///
    /// For bodies that cannot be sent again, such as those of tonic, pass
    /// `|_: &tonic::body::Body| None`.
    ///
    /// # Security
    ///
    /// The request is sent again to the same URL, and only with the token of this layer. A server
    /// must not have acted on a request that it rejects with 401.
    pub fn retry_unauthorized<F>(self, clone_body: F) -> RetryUnauthorizedLayer<F> {
        RetryUnauthorizedLayer { attach: self, clone_body: Arc::new(clone_body) }
    }
}

/// Adds a token to each request, and sends a request once more if the token is rejected.
///
/// [`AttachLayer::retry_unauthorized`] creates it.
pub struct RetryUnauthorizedLayer<F> {
    attach: AttachLayer<RefreshingToken>,
    clone_body: Arc<F>,
}

impl<S, F> Layer<S> for RetryUnauthorizedLayer<F> {
    type Service = RetryUnauthorized<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        let clone_body = Arc::clone(&self.clone_body);
        RetryUnauthorized { attach: self.attach.layer(inner), clone_body }
    }
}

impl<F> Clone for RetryUnauthorizedLayer<F> {
    fn clone(&self) -> Self {
        Self { attach: self.attach.clone(), clone_body: Arc::clone(&self.clone_body) }
    }
}

impl<F> fmt::Debug for RetryUnauthorizedLayer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryUnauthorizedLayer")
            .field("attach", &self.attach)
            .finish_non_exhaustive()
    }
}

/// The middleware of [`RetryUnauthorizedLayer`].
///
/// Its error is a box that contains the error of the inner service or an
/// [`AttachError`](super::AttachError).
pub struct RetryUnauthorized<S, F> {
    attach: Attach<S, RefreshingToken>,
    clone_body: Arc<F>,
}

impl<S, F> RetryUnauthorized<S, F> {
    /// Returns the inner service.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        self.attach.get_ref()
    }

    /// Returns the inner service, to change it.
    pub fn get_mut(&mut self) -> &mut S {
        self.attach.get_mut()
    }

    /// Returns the inner service, and drops the middleware.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.attach.into_inner()
    }
}

impl<S, F, B, R> Service<Request<B>> for RetryUnauthorized<S, F>
where
    S: Service<Request<B>, Response = Response<R>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + 'static,
    F: Fn(&B) -> Option<B>,
    B: Send + 'static,
    R: Send + 'static,
{
    type Response = Response<R>;
    type Error = BoxError;
    type Future = RetryUnauthorizedFuture<Response<R>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.attach.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if !matches!(self.attach.shared.disposition(&request), Ok(Disposition::Attach)) {
            return RetryUnauthorizedFuture(Box::pin(self.attach.call(request)));
        }
        // Only this instance was polled ready. Its clone is polled before the next request.
        let clone = self.attach.inner.clone();
        let service = mem::replace(&mut self.attach.inner, clone);
        let token = RefreshingToken::clone(&self.attach.shared.source);
        let (head, body) = request.into_parts();
        let again = (self.clone_body)(&body).map(|body| Request::from_parts(head.clone(), body));
        let request = Request::from_parts(head, body);
        RetryUnauthorizedFuture(Box::pin(send(service, token, request, again)))
    }
}

async fn send<S, B, R>(
    mut service: S,
    token: RefreshingToken,
    request: Request<B>,
    again: Option<Request<B>>,
) -> Result<Response<R>, BoxError>
where
    S: Service<Request<B>, Response = Response<R>, Error: Into<BoxError>>,
{
    let sent = token.header_value().await?;
    let call = service.call(authorized(request, &sent));
    let response = call.await.map_err(Into::into)?;
    if !rejects_token(&response) {
        return Ok(response);
    }
    token.discard(&sent);
    let Some(again) = again else { return Ok(response) };
    // If there is no other token, the response tells more than the error.
    let new = match token.header_value().await {
        Ok(new) if new != sent => new,
        _ => return Ok(response),
    };
    drop(response);
    poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
    service.call(authorized(again, &new)).await.map_err(Into::into)
}

fn authorized<B>(request: Request<B>, value: &HeaderValue) -> Request<B> {
    let (head, body) = request.into_parts();
    with_authorization(value.clone(), head, body)
}

/// Returns whether a response is 401, or `UNAUTHENTICATED` of gRPC.
pub(super) fn rejects_token<R>(response: &Response<R>) -> bool {
    response.status() == StatusCode::UNAUTHORIZED
        || response.headers().get("grpc-status").is_some_and(|status| status == "16")
}

impl<S: Clone, F> Clone for RetryUnauthorized<S, F> {
    fn clone(&self) -> Self {
        Self { attach: self.attach.clone(), clone_body: Arc::clone(&self.clone_body) }
    }
}

impl<S: fmt::Debug, F> fmt::Debug for RetryUnauthorized<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryUnauthorized").field("attach", &self.attach).finish_non_exhaustive()
    }
}

/// The response future of [`RetryUnauthorized`].
#[must_use = "futures do nothing unless polled"]
pub struct RetryUnauthorizedFuture<T>(BoxFuture<'static, Result<T, BoxError>>);

impl<T> Future for RetryUnauthorizedFuture<T> {
    type Output = Result<T, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<T> fmt::Debug for RetryUnauthorizedFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryUnauthorizedFuture").finish_non_exhaustive()
    }
}
