use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, request::Parts};
use tower_service::Service;

use super::policy::Policy;
use crate::{
    authenticate::cors::Preflight,
    principal::Principal,
    rejection::Rejection,
    respond::{DefaultResponder, Respond, ResponseFuture, reject::reject},
};

/// The middleware of [`AuthorizeLayer`](crate::AuthorizeLayer), and of policies that are used as
/// layers, such as [`RequireScopes`](crate::RequireScopes).
pub struct Authorize<S, P, R = DefaultResponder> {
    pub(crate) inner: S,
    pub(crate) policy: Arc<P>,
    pub(crate) responder: Arc<R>,
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
        match decide(&*self.policy, &head) {
            Ok(()) => ResponseFuture::inner(self.inner.call(Request::from_parts(head, body)), None),
            Err(rejection) => {
                // Drop what the inner service reserved in `poll_ready`, such as a permit.
                // Otherwise, it stays blocked until the next call.
                self.inner = self.inner.clone();
                ResponseFuture::ready(reject(rejection, &*self.responder, &head))
            }
        }
    }
}

fn decide<P: Policy>(policy: &P, head: &Parts) -> Result<(), Rejection> {
    if Preflight::is_marked(head) || policy.is_public(head) {
        return Ok(());
    }
    let principal = Principal::required(&head.extensions)?;
    policy.evaluate(principal, head).map_err(|denial| denial.into_rejection(principal))
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
