use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::AtomicBool},
    task::{Context, Poll, ready},
};

use http::{
    HeaderValue, Request, Response,
    header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, STRICT_TRANSPORT_SECURITY},
    request::Parts,
};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::forwarded::Forwarded;
use crate::{
    header::sensitive::mark_sensitive,
    observe::observer::Observer,
    rejection::Rejection,
    respond::{
        Respond,
        reject::reject,
        response_future::{Completion, ResponseFuture, call_or_respond},
    },
};

/// Decides about a request by its head, without the caller.
pub(crate) trait HeadCheck<C> {
    fn check(&self, head: &Parts) -> Checked<C>;

    /// Hides the credentials of a rejected request, because responders get its head.
    fn conceal(&self, head: &mut Parts) {
        conceal_credentials(head);
    }

    /// Returns what determines the client address in the event of a rejection.
    fn forwarded(&self) -> &Forwarded;
}

/// Marks the headers in which most requests have credentials as sensitive.
pub(crate) fn conceal_credentials(head: &mut Parts) {
    for name in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION] {
        mark_sensitive(&mut head.headers, &name);
    }
}

/// What a [`HeadCheck`] decided.
pub(crate) enum Checked<C> {
    /// Call the inner service. Its response gets this `Strict-Transport-Security`, unless it has
    /// one.
    Admitted { hsts: Option<HeaderValue> },
    /// Respond with this, which is not a rejection.
    Answered(Response<C>),
    /// Reject the request.
    Rejected(Rejection),
}

/// The middleware of [`HttpsLayer`](super::HttpsLayer) and
/// [`SameOriginLayer`](super::SameOriginLayer).
pub struct Admit<S, K, R> {
    inner: S,
    shared: Arc<Shared<K, R>>,
}

/// The configuration that a layer and its services share.
pub(crate) struct Shared<K, R> {
    pub(crate) check: K,
    pub(crate) responder: Arc<R>,
    pub(crate) observer: Observer,
}

impl<S, K, R> Admit<S, K, R> {
    pub(crate) fn new(inner: S, shared: Shared<K, R>) -> Self {
        Self { inner, shared: Arc::new(shared) }
    }

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

impl<S, K, R, B, C> Service<Request<B>> for Admit<S, K, R>
where
    S: Service<Request<B>, Response = Response<C>> + Clone,
    K: HeadCheck<C>,
    R: Respond<C>,
{
    type Response = Response<C>;
    type Error = S::Error;
    type Future = AdmitFuture<S::Future, R, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let shared = &*self.shared;
        let (admission, hsts) = match shared.check.check(&head) {
            Checked::Admitted { hsts } => (Ok(shared.admit(&mut head)), hsts),
            Checked::Answered(response) => (Err(response), None),
            Checked::Rejected(rejection) => {
                HeadCheck::<C>::conceal(&shared.check, &mut head);
                (Err(shared.reject(rejection, &head)), None)
            }
        };
        let response = call_or_respond(&mut self.inner, admission, head, body);
        AdmitFuture { response, hsts }
    }
}

impl<K, R> Shared<K, R> {
    /// An admitted request is not reported: that is for the layers that know the caller.
    fn admit<C>(&self, head: &mut Parts) -> Completion<R>
    where
        R: Respond<C>,
    {
        self.observer.add_to(head);
        Completion::new(None, &self.responder, &Observer::of(head), head)
    }

    #[inline(always)] // a call would copy the response
    fn reject<C>(&self, rejection: Rejection, head: &Parts) -> Response<C>
    where
        K: HeadCheck<C>,
        R: Respond<C>,
    {
        // The checks have no wiring faults.
        let reported_fault = AtomicBool::new(false);
        let observer = self.observer.or_of(head).or_forwarded(self.check.forwarded());
        observer.observe_rejection(&rejection, head, &reported_fault);
        reject(rejection, &*self.responder, head)
    }
}

impl<K: Clone, R> Clone for Shared<K, R> {
    fn clone(&self) -> Self {
        Self {
            check: self.check.clone(),
            responder: Arc::clone(&self.responder),
            observer: self.observer.clone(),
        }
    }
}

impl<S: Clone, K, R> Clone for Admit<S, K, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S: fmt::Debug, K, R> fmt::Debug for Admit<S, K, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admit").field("inner", &self.inner).finish_non_exhaustive()
    }
}

pin_project! {
    /// The response future of [`Admit`].
    #[must_use = "futures do nothing unless polled"]
    pub struct AdmitFuture<F, R, C> {
        #[pin]
        response: ResponseFuture<F, R, C>,
        hsts: Option<HeaderValue>,
    }
}

impl<F, R, C, E> Future for AdmitFuture<F, R, C>
where
    F: Future<Output = Result<Response<C>, E>>,
    R: Respond<C>,
{
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut result = ready!(this.response.poll(cx));
        if let (Ok(response), Some(hsts)) = (&mut result, this.hsts.take()) {
            response.headers_mut().entry(STRICT_TRANSPORT_SECURITY).or_insert(hsts);
        }
        Poll::Ready(result)
    }
}

impl<F, R, C> fmt::Debug for AdmitFuture<F, R, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdmitFuture").finish_non_exhaustive()
    }
}
