use std::{
    error::Error,
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
    authorization::{Authorization, AuthorizationSource},
    destination::{Course, Rules},
    error::AttachError,
};
use crate::later::{Resume, WaitThenCall};

/// The service of [`AttachLayer`](super::AttachLayer).
///
/// It fails with the inner service's error, or with an [`AttachError`], in a box.
pub struct Attach<S, C> {
    pub(crate) inner: S,
    pub(crate) shared: Arc<Shared<C>>,
}

/// What a layer and all its services hold in common. Nothing in it has to be `Clone`.
pub(crate) struct Shared<C> {
    pub(crate) credentials: Arc<C>,
    pub(crate) rules: Rules,
}

type BoxError = Box<dyn Error + Send + Sync>;

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
        let course = if request.headers().contains_key(AUTHORIZATION) {
            Ok(Course::PassOn)
        } else {
            self.shared.rules.judge(request.uri())
        };
        match course {
            Ok(Course::PassOn) => {
                return AttachFuture::sending(self.inner.call(request));
            }
            Ok(Course::Attach) => {}
            Err(error) => return self.fail(error),
        }
        let (head, body) = request.into_parts();
        let mut answer = self.shared.credentials.authorization(&head);
        match answer.now() {
            Some(Ok(value)) => AttachFuture::sending(self.inner.call(attach(value, head, body))),
            Some(Err(error)) => self.fail(error),
            None => {
                // Only this instance was polled ready, so it sends the request. Its clone stays here
                // and is polled before the next request.
                let clone = self.inner.clone();
                let service = mem::replace(&mut self.inner, clone);
                AttachFuture {
                    state: WaitThenCall::waiting(answer, Pending { service, head, body }),
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
        // What the inner service reserved when it was polled ready, such as a permit, is not needed, and
        // must not be kept from others until somebody calls here again.
        self.inner = self.inner.clone();
        AttachFuture::failed(error)
    }
}

fn attach<B>(mut value: HeaderValue, mut head: Parts, body: B) -> Request<B> {
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
        Self { credentials: Arc::clone(&self.credentials), rules: self.rules.clone() }
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
        state: WaitThenCall<Authorization, Pending<S, B>, Sending<S::Future>>,
    }
}

/// A request whose credentials are being fetched.
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

    fn resume(self, answer: Result<HeaderValue, AttachError>) -> Self::Future {
        let Self { mut service, head, body } = self;
        match answer {
            Ok(value) => Sending::Sent { response: service.call(attach(value, head, body)) },
            Err(error) => Sending::Failed { error: Some(error) },
        }
    }
}

pin_project! {
    /// A request that was sent, or the reason why it was not.
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
