use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, atomic::AtomicBool},
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response, request::Parts};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{decision::Decision, denial::Denial, policy::Policy};
use crate::{
    authenticate::cors::Preflight,
    clock::Stopwatch,
    later::{Later, Resume, WaitThenCall},
    observe::{decided::Decided, observer::Observer},
    principal::Principal,
    rejection::Rejection,
    respond::{
        Inherit, Respond,
        reject::reject,
        response_future::{Completion, ResponseFuture, call_or_respond},
    },
};

/// The middleware of [`AuthorizeLayer`](crate::AuthorizeLayer), and of policies that are used as
/// layers, such as [`RequireScopes`](crate::RequireScopes).
pub struct Authorize<S, P, R = Inherit> {
    pub(crate) inner: S,
    pub(crate) policy: Arc<P>,
    pub(crate) responder: Arc<R>,
    /// Whether a wiring fault was reported.
    pub(crate) reported_fault: Arc<AtomicBool>,
}

impl<S, P, R> Authorize<S, P, R> {
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

impl<S, P, R, B, C> Service<Request<B>> for Authorize<S, P, R>
where
    S: Service<Request<B>, Response = Response<C>> + Clone,
    P: Policy,
    R: Respond<C>,
{
    type Response = Response<C>;
    type Error = S::Error;
    type Future = AuthorizeFuture<S, P, R, B, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let admission = match decide(&*self.policy, &head).map(Later::into_ready) {
            Ok(Ok(result)) => self.admit(result, None, &mut head),
            Ok(Err(pending)) => {
                let since = Observer::default().is_observed(&head).then(Stopwatch::start);
                // Only this instance was polled ready, so it serves the request. Its clone stays
                // here and is polled before the next request.
                let clone = self.clone();
                let service = mem::replace(self, clone);
                let next = Box::new(Pending { service, head, body, since });
                return AuthorizeFuture { state: WaitThenCall::waiting(pending, next) };
            }
            Err(rejection) => Err(self.reject(rejection, None, &head)),
        };
        AuthorizeFuture {
            state: WaitThenCall::calling(call_or_respond(&mut self.inner, admission, head, body)),
        }
    }
}

/// Evaluates the policy, unless the request needs no caller.
fn decide<P: Policy>(policy: &P, head: &Parts) -> Result<Decision, Rejection> {
    if Preflight::is_marked(head) || policy.is_public(head) {
        return Ok(Decision::ready(Ok(())));
    }
    let caller = Principal::required(head)?;
    Ok(policy.evaluate(caller, head))
}

impl<S: Clone, P: Policy, R> Authorize<S, P, R> {
    /// Admits the request, or rejects it.
    fn admit<C>(
        &self,
        result: Result<(), Denial>,
        waited: Option<Duration>,
        head: &mut Parts,
    ) -> Result<Completion<R>, Response<C>>
    where
        R: Respond<C>,
    {
        if let Err(denial) = result {
            let rejection = match Principal::required(head) {
                Ok(caller) => denial.into_rejection(caller.scheme(), caller.challenge()),
                Err(rejection) => rejection,
            };
            return Err(self.reject(rejection, waited, head));
        }
        Observer::of(head).observe_policy_admission(head, waited, || self.decided(waited, head));
        Ok(Completion::of_policy(&self.responder, head))
    }

    fn reject<C>(&self, rejection: Rejection, waited: Option<Duration>, head: &Parts) -> Response<C>
    where
        R: Respond<C>,
    {
        let decided = self.decided(waited, head);
        Observer::of(head).observe_rejected(&rejection, head, decided, &self.reported_fault);
        reject(rejection, &*self.responder, head)
    }

    #[inline]
    fn decided<'a>(&'a self, waited: Option<Duration>, head: &'a Parts) -> Decided<'a> {
        let (principal, policy) = (head.extensions.get(), Some(&*self.policy as _));
        Decided { principal, policy, waited, scheme: None }
    }
}

impl<S: Clone, P, R> Clone for Authorize<S, P, R> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            policy: Arc::clone(&self.policy),
            responder: Arc::clone(&self.responder),
            reported_fault: Arc::clone(&self.reported_fault),
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
    /// The response future of [`Authorize`].
    #[must_use = "futures do nothing unless polled"]
    pub struct AuthorizeFuture<S, P, R, B, C>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: Deciding<S, P, R, B, C>,
    }
}

type Deciding<S, P, R, B, C> = WaitThenCall<
    Result<(), Denial>,
    Box<Pending<S, P, R, B>>,
    ResponseFuture<<S as Service<Request<B>>>::Future, R, C>,
>;

/// A request that waits for the decision of the policy, and the service that was polled ready for
/// it.
struct Pending<S, P, R, B> {
    service: Authorize<S, P, R>,
    head: Parts,
    body: B,
    /// When the request began to wait, if that is observed.
    since: Option<Stopwatch>,
}

impl<S, P, R, B, C> Resume<Result<(), Denial>> for Box<Pending<S, P, R, B>>
where
    S: Service<Request<B>, Response = Response<C>> + Clone,
    P: Policy,
    R: Respond<C>,
{
    type Future = ResponseFuture<S::Future, R, C>;

    fn resume(self, result: Result<(), Denial>) -> Self::Future {
        let Pending { mut service, mut head, body, since } = *self;
        let admission = service.admit(result, since.map(Stopwatch::elapsed), &mut head);
        call_or_respond(&mut service.inner, admission, head, body)
    }
}

impl<S, P, R, B, C> Future for AuthorizeFuture<S, P, R, B, C>
where
    S: Service<Request<B>, Response = Response<C>> + Clone,
    P: Policy,
    R: Respond<C>,
{
    type Output = Result<Response<C>, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().state.poll(cx)
    }
}

impl<S: Service<Request<B>>, P, R, B, C> fmt::Debug for AuthorizeFuture<S, P, R, B, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizeFuture").finish_non_exhaustive()
    }
}
