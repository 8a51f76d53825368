use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, atomic::AtomicBool},
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
    observe::{
        event::{Event, RequestSummary},
        observer::Observer,
    },
    principal::{Principal, anonymous::Anonymous, caller::Caller},
    rejection::{Rejection, RejectionKind},
    respond::{
        Respond,
        reject::reject,
        response_future::{Completion, ResponseFuture, add_headers},
    },
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
    pub(crate) observer: Observer,
    /// Whether a wiring fault was reported.
    pub(crate) reported_fault: Arc<AtomicBool>,
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
    #[inline]
    fn forward<B, C>(
        &mut self,
        outcome: Outcome,
        head: Parts,
        body: B,
    ) -> ResponseFuture<S::Future, R, C>
    where
        S: Service<Request<B>, Response = Response<C>>,
        R: Respond<C>,
    {
        match outcome.result {
            Ok(principal) => self.admit(Some(principal), head, body, outcome.headers),
            Err(rejection) => self.reject(rejection, head, outcome.headers),
        }
    }

    /// Calls the inner service without a caller, or rejects the request because it has no
    /// credentials.
    fn forward_anonymous<B, C>(
        &mut self,
        mut head: Parts,
        body: B,
    ) -> ResponseFuture<S::Future, R, C>
    where
        S: Service<Request<B>, Response = Response<C>>,
        R: Respond<C>,
    {
        let preflight = self.shared.preflight && is_preflight(&head);
        let challenges = self.shared.authenticator.challenges(&head);
        if challenges.is_empty() {
            let rejection = Rejection::new(RejectionKind::Misconfigured)
                .because("the authenticator has no scheme: give the layer at least one");
            return self.reject(rejection, head, None);
        }
        if self.shared.missing == MissingCredentials::Reject && !preflight {
            return self.reject(Rejection::new(RejectionKind::MissingCredentials), head, None);
        }
        if preflight {
            head.extensions.insert(Preflight);
        }
        #[cfg(feature = "axum")]
        if self.shared.missing == MissingCredentials::AllowAnonymous {
            head.extensions.remove::<Principal>();
        }
        Anonymous::mark(&mut head.extensions, challenges);
        self.admit(None, head, body, None)
    }

    /// Calls the inner service, for this caller or for the one that is in the extensions.
    #[inline]
    fn admit<B, C>(
        &mut self,
        principal: Option<Principal>,
        mut head: Parts,
        body: B,
        headers: Option<Box<HeaderMap>>,
    ) -> ResponseFuture<S::Future, R, C>
    where
        S: Service<Request<B>, Response = Response<C>>,
        R: Respond<C>,
    {
        let Shared { responder, observer, .. } = &*self.shared;
        let request = RequestSummary::of(&head);
        observer.observe(&Event::Admitted { request, principal: principal.as_ref() });
        let caller = match &principal {
            Some(principal) => Some(Caller::of(principal)),
            None => Caller::in_extensions(&head.extensions),
        };
        let completion = Completion::new(caller, responder, observer, &head).with_headers(headers);
        if observer.is_set() {
            head.extensions.insert(observer.clone());
        }
        if let Some(principal) = principal {
            // The mark of an outer layer would bypass the policies.
            head.extensions.remove::<Preflight>();
            head.extensions.insert(principal);
        }
        let response = self.inner.call(Request::from_parts(head, body));
        ResponseFuture::inner(response, completion)
    }

    fn reject<F, C>(
        &mut self,
        rejection: Rejection,
        head: Parts,
        headers: Option<Box<HeaderMap>>,
    ) -> ResponseFuture<F, R, C>
    where
        R: Respond<C>,
    {
        // Release what the inner service reserved in `poll_ready`, such as a permit. It is not
        // called, so it would keep the permit until the next request.
        self.inner = self.inner.clone();
        let Shared { authenticator, responder, observer, reported_fault, .. } = &*self.shared;
        let rejection = rejection.with_scheme_challenges(&authenticator.challenges(&head));
        observer.observe_rejection(&rejection, &head, reported_fault);
        let mut response = reject(rejection, &**responder, head);
        add_headers(response.headers_mut(), headers);
        ResponseFuture::ready(response)
    }
}

impl<A, R> Clone for Shared<A, R> {
    fn clone(&self) -> Self {
        Self {
            authenticator: Arc::clone(&self.authenticator),
            responder: Arc::clone(&self.responder),
            missing: self.missing,
            preflight: self.preflight,
            observer: self.observer.clone(),
            reported_fault: Arc::clone(&self.reported_fault),
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
        state: WaitThenCall<Outcome, Box<Pending<S, A, R, B>>, ResponseFuture<S::Future, R, C>>,
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
    type Future = ResponseFuture<S::Future, R, C>;

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
