use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response, request::Parts};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{Authorize, Denial};
use crate::{
    Principal, Rejection,
    principal::Preflight,
    respond::{Respond, ResponseFuture, refuse},
};

/// Decides what a known caller may do, where that takes asking somebody else: a database, or a policy engine.
///
/// ```
/// use http::request::Parts;
/// use tower_auth::{AuthorizeLayer, Denial, Principal, authorize::AsyncPolicy};
///
/// struct Members(Database);
///
/// impl AsyncPolicy for Members {
///     async fn evaluate(&self, caller: &Principal, head: &Parts) -> Result<(), Denial> {
///         match self.0.is_member(caller.subject(), head.uri.path()).await {
///             Ok(true) => Ok(()),
///             Ok(false) => Err(Denial::forbidden()),
///             Err(away) => Err(Denial::unavailable().because(away)),
///         }
///     }
/// }
///
/// # fn f(database: Database) {
/// let layer = AuthorizeLayer::from_async(Members(database));
/// # }
/// # struct Database;
/// # impl Database {
/// #     async fn is_member(&self, _: &str, _: &str) -> Result<bool, String> { Ok(true) }
/// # }
/// ```
///
/// It has no time limit of its own. What fails has to say [`Denial::unavailable`], which is a 503. While it waits, it
/// holds what the inner service has reserved for the request: a limit on concurrent requests belongs outside of it.
pub trait AsyncPolicy: Send + Sync + 'static {
    /// Whether this caller may send this request.
    ///
    /// # Errors
    ///
    /// A [`Denial`], where it may not, or where nobody can tell.
    fn evaluate(
        &self,
        principal: &Principal,
        head: &Parts,
    ) -> impl Future<Output = Result<(), Denial>> + Send;
}

impl<P: AsyncPolicy> AsyncPolicy for Arc<P> {
    async fn evaluate(&self, principal: &Principal, head: &Parts) -> Result<(), Denial> {
        (**self).evaluate(principal, head).await
    }
}

/// Marks the policy of a layer as one that waits: see
/// [`AuthorizeLayer::from_async`](crate::AuthorizeLayer::from_async).
#[derive(Clone, Copy)]
pub struct Async<P>(pub(super) P);

impl<P> fmt::Debug for Async<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Async({})", std::any::type_name::<P>())
    }
}

impl<S, P, R, B, C> Service<Request<B>> for Authorize<S, Async<P>, R>
where
    S: Service<Request<B>, Response = Response<C>> + Clone,
    P: AsyncPolicy,
    R: Respond<C>,
{
    type Response = Response<C>;
    type Error = S::Error;
    type Future = AsyncResponseFuture<S, S::Future, R, B, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (head, body) = request.into_parts();
        // The service that was polled ready goes with the request, and its clone stays.
        let clone = self.inner.clone();
        let service = mem::replace(&mut self.inner, clone);
        let decision = Box::pin(decide(Arc::clone(&self.policy), head));
        let waiting = Some((service, body, Arc::clone(&self.responder)));
        AsyncResponseFuture { state: State::Deciding { decision, waiting } }
    }
}

type Decision = Pin<Box<dyn Future<Output = (Result<(), Rejection>, Parts)> + Send>>;

async fn decide<P: AsyncPolicy>(
    policy: Arc<Async<P>>,
    head: Parts,
) -> (Result<(), Rejection>, Parts) {
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
    /// The response of [`Authorize`] under an [`AsyncPolicy`]: the inner service's, or a refusal.
    #[must_use = "futures do nothing unless polled"]
    pub struct AsyncResponseFuture<S, F, R, B, C> {
        #[pin]
        state: State<S, F, R, B, C>,
    }
}

pin_project! {
    #[project = Projected]
    enum State<S, F, R, B, C> {
        Deciding { decision: Decision, waiting: Option<(S, B, Arc<R>)> },
        Decided { #[pin] response: ResponseFuture<F, C> },
    }
}

impl<S, R, B, C> Future for AsyncResponseFuture<S, S::Future, R, B, C>
where
    S: Service<Request<B>, Response = Response<C>>,
    R: Respond<C>,
{
    type Output = Result<Response<C>, S::Error>;

    #[allow(clippy::expect_used)] // as every future may, it panics when polled after its end
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let mut state = self.as_mut().project().state;
            let response = match state.as_mut().project() {
                Projected::Deciding { decision, waiting } => {
                    let (decision, head) = ready!(decision.as_mut().poll(cx));
                    let (mut service, body, responder) =
                        waiting.take().expect("polled after completion");
                    match decision {
                        Ok(()) => {
                            let request = Request::from_parts(head, body);
                            ResponseFuture::serving(service.call(request))
                        }
                        Err(rejection) => {
                            ResponseFuture::answered(refuse(rejection, &*responder, &head))
                        }
                    }
                }
                Projected::Decided { response } => return response.poll(cx),
            };
            state.set(State::Decided { response });
        }
    }
}

impl<S, F, R, B, C> fmt::Debug for AsyncResponseFuture<S, F, R, B, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncResponseFuture").finish_non_exhaustive()
    }
}
