use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, Request, Response, request::Parts};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    authenticator::Authenticator,
    cors::{Preflight, is_preflight},
    outcome::Outcome,
};
use crate::{
    later::{Later, Resume, WaitThenCall},
    principal::{Principal, anonymous::Anonymous},
    rejection::{Rejection, RejectionKind},
    respond::{Respond, ResponseFuture, reject::reject, response_future::add_headers},
};

/// The middleware of [`AuthenticateLayer`](crate::AuthenticateLayer).
pub struct Authenticate<S, A, R> {
    pub(crate) inner: S,
    pub(crate) shared: Arc<Shared<A, R>>,
}

/// The configuration that a layer and its services share. Its parts need not be `Clone`.
pub(crate) struct Shared<A, R> {
    pub(crate) authenticator: Arc<A>,
    pub(crate) responder: Arc<R>,
    pub(crate) missing: MissingCredentials,
    pub(crate) preflight: bool,
}

/// What to do with a request without credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MissingCredentials {
    /// Rejects the request.
    Reject,
    /// Accepts the request, and keeps the principal of an outer layer.
    Allow,
    /// Accepts the request, and removes the principal of an outer layer.
    #[cfg(feature = "axum")]
    AllowAnonymous,
}

impl<S, A, R, B, C> Service<Request<B>> for Authenticate<S, A, R>
where
    S: Service<Request<B>, Response = Response<C>> + Clone,
    A: Authenticator,
    R: Respond<C>,
{
    type Response = Response<C>;
    type Error = S::Error;
    type Future = AuthenticateFuture<S, A, R, B, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let authentication = self.shared.authenticator.authenticate(&head);
        self.shared.authenticator.conceal(&mut head);
        let state = match authentication.map(Later::into_ready) {
            None => WaitThenCall::calling(self.forward_anonymous(head, body)),
            Some(Ok(outcome)) => WaitThenCall::calling(self.forward(outcome, head, body)),
            Some(Err(pending)) => {
                // Only this instance was polled ready, so it serves the request. Its clone stays
                // here and is polled before the next request.
                let clone = self.clone();
                let service = mem::replace(self, clone);
                WaitThenCall::waiting(pending, Box::new(Pending { service, head, body }))
            }
        };
        AuthenticateFuture { state }
    }
}

impl<S, A, R> Authenticate<S, A, R>
where
    S: Clone,
    A: Authenticator,
{
    /// Calls the inner service for the caller, or rejects the request.
    fn forward<B, C>(
        &mut self,
        outcome: Outcome,
        head: Parts,
        body: B,
    ) -> ResponseFuture<S::Future, C>
    where
        S: Service<Request<B>, Response = Response<C>>,
        R: Respond<C>,
    {
        match outcome.result {
            Ok(principal) => {
                let request = authenticated(head, body, principal);
                ResponseFuture::inner(self.inner.call(request), outcome.headers)
            }
            Err(rejection) => self.reject(rejection, &head, outcome.headers),
        }
    }

    /// Calls the inner service without a caller, or rejects the request because it has no
    /// credentials.
    fn forward_anonymous<B, C>(&mut self, mut head: Parts, body: B) -> ResponseFuture<S::Future, C>
    where
        S: Service<Request<B>, Response = Response<C>>,
        R: Respond<C>,
    {
        let preflight = self.shared.preflight && is_preflight(&head);
        let challenges = self.shared.authenticator.challenges(&head);
        if challenges.is_empty() {
            let rejection = Rejection::new(RejectionKind::Misconfigured)
                .because("the authenticator has no scheme: give the layer at least one");
            return self.reject(rejection, &head, None);
        }
        if self.shared.missing == MissingCredentials::Reject && !preflight {
            return self.reject(Rejection::new(RejectionKind::MissingCredentials), &head, None);
        }
        if preflight {
            head.extensions.insert(Preflight);
        }
        #[cfg(feature = "axum")]
        if self.shared.missing == MissingCredentials::AllowAnonymous {
            head.extensions.remove::<Principal>();
        }
        Anonymous::mark(&mut head.extensions, challenges);
        ResponseFuture::inner(self.inner.call(Request::from_parts(head, body)), None)
    }

    fn reject<F, C>(
        &mut self,
        rejection: Rejection,
        head: &Parts,
        headers: Option<Box<HeaderMap>>,
    ) -> ResponseFuture<F, C>
    where
        R: Respond<C>,
    {
        // Release what the inner service reserved in `poll_ready`, such as a permit. It is not
        // called, so it would keep the permit until the next request.
        self.inner = self.inner.clone();
        let challenges = self.shared.authenticator.challenges(head);
        let rejection = rejection.with_scheme_challenges(&challenges);
        let mut response = reject(rejection, &*self.shared.responder, head);
        add_headers(response.headers_mut(), headers);
        ResponseFuture::ready(response)
    }
}

/// Creates the request of an authenticated caller.
fn authenticated<B>(mut head: Parts, body: B, principal: Principal) -> Request<B> {
    // The mark of an outer layer would bypass the policies.
    head.extensions.remove::<Preflight>();
    head.extensions.insert(principal);
    Request::from_parts(head, body)
}

impl<A, R> Clone for Shared<A, R> {
    fn clone(&self) -> Self {
        let Self { authenticator, responder, missing, preflight } = self;
        Self {
            authenticator: Arc::clone(authenticator),
            responder: Arc::clone(responder),
            missing: *missing,
            preflight: *preflight,
        }
    }
}

impl<S: Clone, A, R> Clone for Authenticate<S, A, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S: fmt::Debug, A, R> fmt::Debug for Authenticate<S, A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticate").field("inner", &self.inner).finish_non_exhaustive()
    }
}

pin_project! {
    /// The response future of [`Authenticate`].
    #[must_use = "futures do nothing unless polled"]
    pub struct AuthenticateFuture<S, A, R, B, C>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: WaitThenCall<Outcome, Box<Pending<S, A, R, B>>, ResponseFuture<S::Future, C>>,
    }
}

/// A request whose credentials are being verified, and the service that was polled ready for it.
struct Pending<S, A, R, B> {
    service: Authenticate<S, A, R>,
    head: Parts,
    body: B,
}

impl<S, A, R, B, C> Resume<Outcome> for Box<Pending<S, A, R, B>>
where
    S: Service<Request<B>, Response = Response<C>> + Clone,
    A: Authenticator,
    R: Respond<C>,
{
    type Future = ResponseFuture<S::Future, C>;

    fn resume(self, outcome: Outcome) -> Self::Future {
        let Pending { mut service, head, body } = *self;
        service.forward(outcome, head, body)
    }
}

impl<S, A, R, B, C> Future for AuthenticateFuture<S, A, R, B, C>
where
    S: Service<Request<B>, Response = Response<C>> + Clone,
    A: Authenticator,
    R: Respond<C>,
{
    type Output = Result<Response<C>, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().state.poll(cx)
    }
}

impl<S, A, R, B, C> fmt::Debug for AuthenticateFuture<S, A, R, B, C>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthenticateFuture").finish_non_exhaustive()
    }
}
