use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, request::Parts};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::Policy;
use crate::{
    Principal, Rejection,
    respond::{DefaultResponder, Respond, refuse},
};

/// The service of [`AuthorizeLayer`](crate::AuthorizeLayer) and of
/// [`RequireScopes`](crate::RequireScopes).
pub struct Authorize<S, P, R = DefaultResponder> {
    pub(super) inner: S,
    pub(super) policy: Arc<P>,
    pub(super) responder: Arc<R>,
}

impl<S, P, R, B, C> Service<Request<B>> for Authorize<S, P, R>
where
    S: Service<Request<B>, Response = Response<C>> + Clone,
    P: Policy,
    R: Respond<C>,
{
    type Response = Response<C>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (head, body) = request.into_parts();
        let state = match decide(&*self.policy, &head) {
            Ok(()) => State::Serving { response: self.inner.call(Request::from_parts(head, body)) },
            Err(rejection) => {
                // What the inner service reserved when it was polled ready, such as a permit, is not
                // needed, and must not be kept from others until somebody calls here again.
                self.inner = self.inner.clone();
                State::Refused { response: Some(refuse(rejection, &*self.responder, &head)) }
            }
        };
        ResponseFuture { state }
    }
}

fn decide<P: Policy>(policy: &P, head: &Parts) -> Result<(), Rejection> {
    match Principal::required(&head.extensions) {
        Ok(principal) => {
            policy.evaluate(principal, head).map_err(|denial| denial.into_rejection(principal))
        }
        Err(rejection) => Err(rejection),
    }
}

impl<S: Clone, P, R> Clone for Authorize<S, P, R> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            policy: Arc::clone(&self.policy),
            responder: Arc::clone(&self.responder),
        }
    }
}

impl<S: fmt::Debug, P: fmt::Debug, R> fmt::Debug for Authorize<S, P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorize")
            .field("inner", &self.inner)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The response of [`Authorize`]: the inner service's, or a refusal.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, C> {
        #[pin]
        state: State<F, C>,
    }
}

pin_project! {
    #[project = Projected]
    enum State<F, C> {
        Serving { #[pin] response: F },
        Refused { response: Option<Response<C>> },
    }
}

impl<F, C, E> Future for ResponseFuture<F, C>
where
    F: Future<Output = Result<Response<C>, E>>,
{
    type Output = F::Output;

    #[allow(clippy::expect_used)] // as every future may, it panics when polled after its end
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project().state.project() {
            Projected::Serving { response } => response.poll(cx),
            Projected::Refused { response } => {
                Poll::Ready(Ok(response.take().expect("polled after completion")))
            }
        }
    }
}

impl<F, C> fmt::Debug for ResponseFuture<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
