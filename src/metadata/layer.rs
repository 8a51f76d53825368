use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ALLOW, CONTENT_TYPE,
    },
};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::resource_metadata::ResourceMetadata;

const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");
const WILDCARD: HeaderValue = HeaderValue::from_static("*");

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
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        let body = if is_read { self.0.document.clone() } else { Bytes::new() };
        let mut response = Response::new(C::from(body));
        let headers = response.headers_mut();
        // The document is public, so any origin may read it.
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, WILDCARD);
        if is_read {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        } else if *method == Method::OPTIONS {
            headers.insert(ALLOW, ALLOWED_METHODS);
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS);
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, WILDCARD);
            *response.status_mut() = StatusCode::NO_CONTENT;
        } else {
            headers.insert(ALLOW, ALLOWED_METHODS);
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        }
        response
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
