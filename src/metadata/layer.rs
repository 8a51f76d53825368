use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{public_document, resource_metadata::ResourceMetadata};

impl<S> Layer<S> for ResourceMetadata {
    type Service = ServeMetadata<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ServeMetadata { inner, metadata: self.clone() }
    }
}

/// The middleware of [`ResourceMetadata`].
#[derive(Clone, Debug)]
pub struct ServeMetadata<S> {
    inner: S,
    metadata: ResourceMetadata,
}

impl<S> ServeMetadata<S> {
    /// Returns the inner service.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the inner service, to change it.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the inner service, and drops the middleware.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B, C> Service<Request<B>> for ServeMetadata<S>
where
    S: Service<Request<B>, Response = Response<C>> + Clone,
    C: From<Bytes>,
{
    type Response = Response<C>;
    type Error = S::Error;
    type Future = ServeMetadataFuture<S::Future, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if !self.metadata.is_served_at(request.uri().path()) {
            let state = State::Inner { future: self.inner.call(request) };
            return ServeMetadataFuture { state };
        }
        // Drop what the inner service reserved in `poll_ready`, such as a permit.
        self.inner = self.inner.clone();
        let response = Some(self.metadata.response(request.method()));
        ServeMetadataFuture { state: State::Ready { response } }
    }
}

impl ResourceMetadata {
    fn response<C: From<Bytes>>(&self, method: &Method) -> Response<C> {
        match public_document::is_read(method) {
            true => public_document::document("application/json", self.0.document.clone()),
            false => public_document::other(method),
        }
    }
}

pin_project! {
    /// The response future of [`ServeMetadata`].
    #[must_use = "futures do nothing unless polled"]
    pub struct ServeMetadataFuture<F, C> {
        #[pin]
        state: State<F, C>,
    }
}

pin_project! {
    #[project = Projected]
    enum State<F, C> {
        Inner { #[pin] future: F },
        Ready { response: Option<Response<C>> },
    }
}

impl<F, C, E> Future for ServeMetadataFuture<F, C>
where
    F: Future<Output = Result<Response<C>, E>>,
{
    type Output = F::Output;

    #[allow(clippy::expect_used)] // futures may panic if polled after completion
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project().state.project() {
            Projected::Inner { future } => future.poll(cx),
            Projected::Ready { response } => {
                Poll::Ready(Ok(response.take().expect("polled after completion")))
            }
        }
    }
}

impl<F, C> fmt::Debug for ServeMetadataFuture<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeMetadataFuture").finish_non_exhaustive()
    }
}
