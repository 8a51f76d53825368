use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderValue, Request, header::AUTHORIZATION, request::Parts};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    authorization::AuthorizationSource,
    destination::{DestinationRules, Disposition},
    error::{AttachError, BoxError},
};
use crate::later::{Resume, WaitThenCall};

/// The middleware of [`AttachLayer`](super::AttachLayer).
///
/// Its error is a box that contains the error of the inner service or an [`AttachError`].
pub struct Attach<S, C> {
    pub(crate) inner: S,
    pub(crate) shared: Arc<Shared<C>>,
}

impl<S, C> Attach<S, C> {
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

/// The configuration that a layer shares with its services. `C` need not be `Clone`.
pub(crate) struct Shared<C> {
    pub(crate) source: Arc<C>,
    pub(crate) rules: DestinationRules,
}

impl<C> Shared<C> {
    pub(crate) fn disposition<B>(&self, request: &Request<B>) -> Result<Disposition, AttachError> {
        if request.headers().contains_key(AUTHORIZATION) {
            return Ok(Disposition::PassThrough);
        }
        self.rules.check_destination(request.uri())
    }
}

impl<S, C, B> Service<Request<B>> for Attach<S, C>
where
    S: Service<Request<B>, Error: Into<BoxError>> + Clone,
    C: AuthorizationSource,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = AttachFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.shared.disposition(&request) {
            Ok(Disposition::PassThrough) => {
                return AttachFuture::sending(self.inner.call(request));
            }
            Ok(Disposition::Attach) => {}
            Err(error) => return self.fail(error),
        }
        let (head, body) = request.into_parts();
        match self.shared.source.authorization(&head).into_ready() {
            Ok(Ok(value)) => {
                AttachFuture::sending(self.inner.call(with_authorization(value, head, body)))
            }
            Ok(Err(error)) => self.fail(error),
            Err(authorization) => {
                // Only this instance was polled ready, so it must send the request. Its clone is
                // polled before the next request.
                let clone = self.inner.clone();
                let service = mem::replace(&mut self.inner, clone);
                AttachFuture {
                    state: WaitThenCall::waiting(authorization, Pending { service, head, body }),
                }
            }
        }
    }
}

impl<S: Clone, C> Attach<S, C> {
    fn fail<B>(&mut self, error: AttachError) -> AttachFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        // `poll_ready` may have reserved a permit in the inner service. Replacing the service with
        // a clone releases the permit at once instead of at the next call.
        self.inner = self.inner.clone();
        AttachFuture::failed(error)
    }
}

pub(crate) fn with_authorization<B>(
    mut value: HeaderValue,
    mut head: Parts,
    body: B,
) -> Request<B> {
    value.set_sensitive(true);
    head.headers.insert(AUTHORIZATION, value);
    Request::from_parts(head, body)
}

impl<S: Clone, C> Clone for Attach<S, C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<C> Clone for Shared<C> {
    fn clone(&self) -> Self {
        Self { source: Arc::clone(&self.source), rules: self.rules.clone() }
    }
}

impl<S: fmt::Debug, C> fmt::Debug for Attach<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attach").field("inner", &self.inner).finish_non_exhaustive()
    }
}

pin_project! {
    /// The response future of [`Attach`].
    #[must_use = "futures do nothing unless polled"]
    pub struct AttachFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: WaitThenCall<Result<HeaderValue, AttachError>, Pending<S, B>, Sending<S::Future>>,
    }
}

/// A request that waits for its credentials, and the service that sends it.
struct Pending<S, B> {
    service: S,
    head: Parts,
    body: B,
}

impl<S, B> Resume<Result<HeaderValue, AttachError>> for Pending<S, B>
where
    S: Service<Request<B>, Error: Into<BoxError>>,
{
    type Future = Sending<S::Future>;

    fn resume(self, value: Result<HeaderValue, AttachError>) -> Self::Future {
        let Self { mut service, head, body } = self;
        match value {
            Ok(value) => {
                Sending::Sent { response: service.call(with_authorization(value, head, body)) }
            }
            Err(error) => Sending::Failed { error: Some(error) },
        }
    }
}

pin_project! {
    /// The response future of a request that was sent, or the reason why it was not sent.
    #[project = Projected]
    enum Sending<F> {
        Sent { #[pin] response: F },
        Failed { error: Option<AttachError> },
    }
}

impl<F, T, E> Future for Sending<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
{
    type Output = Result<T, BoxError>;

    #[allow(clippy::expect_used)] // futures may panic if polled after completion
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projected::Sent { response } => response.poll(cx).map_err(Into::into),
            Projected::Failed { error } => {
                Poll::Ready(Err(error.take().expect("polled after completion").into()))
            }
        }
    }
}

impl<S: Service<Request<B>>, B> AttachFuture<S, B> {
    fn sending(response: S::Future) -> Self {
        Self { state: WaitThenCall::calling(Sending::Sent { response }) }
    }

    fn failed(error: AttachError) -> Self {
        Self { state: WaitThenCall::calling(Sending::Failed { error: Some(error) }) }
    }
}

impl<S, B> Future for AttachFuture<S, B>
where
    S: Service<Request<B>, Error: Into<BoxError>>,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().state.poll(cx)
    }
}

impl<S: Service<Request<B>>, B> fmt::Debug for AttachFuture<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttachFuture").finish_non_exhaustive()
    }
}
