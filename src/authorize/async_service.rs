use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, request::Parts};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    async_policy::{Async, AsyncPolicy},
    service::Authorize,
};
use crate::{
    authenticate::cors::Preflight,
    later::{Later, Resume, WaitThenCall},
    principal::Principal,
    rejection::Rejection,
    respond::{Respond, ResponseFuture, reject::reject},
};

impl<S, P, R, B, C> Service<Request<B>> for Authorize<S, Async<P>, R>
where
    S: Service<Request<B>, Response = Response<C>> + Clone,
    P: AsyncPolicy,
    R: Respond<C>,
{
    type Response = Response<C>;
    type Error = S::Error;
    type Future = AuthorizeAsyncFuture<S, R, B, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (head, body) = request.into_parts();
        // Only this instance was polled ready, so it must serve the request. The clone stays here.
        let clone = self.inner.clone();
        let service = mem::replace(&mut self.inner, clone);
        let decision = Later::pending(decide(Arc::clone(&self.policy), head));
        let pending = Pending { service, body, responder: Arc::clone(&self.responder) };
        AuthorizeAsyncFuture { state: WaitThenCall::waiting(decision, pending) }
    }
}

/// The decision, and the request head, which was moved into the future.
type Decided = (Result<(), Rejection>, Parts);

async fn decide<P: AsyncPolicy>(policy: Arc<Async<P>>, head: Parts) -> Decided {
    if Preflight::is_marked(&head) {
        return (Ok(()), head);
    }
    let decision = match Principal::required(&head.extensions) {
        Ok(principal) => {
            let decision = policy.0.evaluate(principal, &head).await;
            decision.map_err(|denial| denial.into_rejection(principal))
        }
        Err(rejection) => Err(rejection),
    };
    (decision, head)
}

pin_project! {
    /// The response future of [`Authorize`] with an [`AsyncPolicy`].
    #[must_use = "futures do nothing unless polled"]
    pub struct AuthorizeAsyncFuture<S, R, B, C>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: WaitThenCall<Decided, Pending<S, R, B>, ResponseFuture<S::Future, C>>,
    }
}

/// A request that waits for the decision of the policy.
struct Pending<S, R, B> {
    service: S,
    body: B,
    responder: Arc<R>,
}

impl<S, R, B, C> Resume<Decided> for Pending<S, R, B>
where
    S: Service<Request<B>, Response = Response<C>>,
    R: Respond<C>,
{
    type Future = ResponseFuture<S::Future, C>;

    fn resume(self, (decision, head): Decided) -> Self::Future {
        let Self { mut service, body, responder } = self;
        match decision {
            Ok(()) => ResponseFuture::inner(service.call(Request::from_parts(head, body)), None),
            Err(rejection) => ResponseFuture::ready(reject(rejection, &*responder, &head)),
        }
    }
}

impl<S, R, B, C> Future for AuthorizeAsyncFuture<S, R, B, C>
where
    S: Service<Request<B>, Response = Response<C>>,
    R: Respond<C>,
{
    type Output = Result<Response<C>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().state.poll(cx)
    }
}

impl<S: Service<Request<B>>, R, B, C> fmt::Debug for AuthorizeAsyncFuture<S, R, B, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizeAsyncFuture").finish_non_exhaustive()
    }
}
