use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{
    HeaderMap, Request, Response,
    header::{AUTHORIZATION, Entry},
    request::Parts,
};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    authenticator::Authenticator,
    cors::{Preflight, is_preflight},
};
use crate::{
    later::{Resume, WaitThenCall},
    principal::{Principal, anonymous::Anonymous},
    rejection::{Rejection, RejectionKind},
    respond::{Respond, ResponseFuture, reject::reject},
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
        conceal(&mut head.headers);
        let shared = &self.shared;
        let preflight = shared.preflight && is_preflight(&head);
        let state = match shared.authenticator.authenticate(&head).map(A::into_ready) {
            Some(Ok(Ok(principal))) => {
                let request = authenticated(head, body, principal);
                WaitThenCall::calling(ResponseFuture::inner(self.inner.call(request)))
            }
            Some(Ok(Err(rejection))) => {
                let response = ResponseFuture::ready(shared.reject(rejection, &head));
                self.release_permit();
                WaitThenCall::calling(response)
            }
            Some(Err(authentication)) => {
                // Only this instance was polled ready, so it serves the request. Its clone stays
                // here and is polled before the next request.
                let clone = self.inner.clone();
                let service = mem::replace(&mut self.inner, clone);
                let pending = Pending { service, head, body, shared: Arc::clone(shared) };
                WaitThenCall::waiting(authentication, Box::new(pending))
            }
            None if shared.missing != MissingCredentials::Reject || preflight => {
                if preflight {
                    head.extensions.insert(Preflight);
                }
                #[cfg(feature = "axum")]
                if shared.missing == MissingCredentials::AllowAnonymous {
                    head.extensions.remove::<Principal>();
                }
                let challenges = shared.authenticator.challenges(&head);
                Anonymous::mark(&mut head.extensions, challenges);
                let response = self.inner.call(Request::from_parts(head, body));
                WaitThenCall::calling(ResponseFuture::inner(response))
            }
            None => {
                let rejection = Rejection::new(RejectionKind::MissingCredentials);
                let response = ResponseFuture::ready(shared.reject(rejection, &head));
                self.release_permit();
                WaitThenCall::calling(response)
            }
        };
        AuthenticateFuture { state }
    }
}

impl<S: Clone, A, R> Authenticate<S, A, R> {
    /// Releases what the inner service reserved in `poll_ready`, such as a permit.
    ///
    /// The request was rejected, so the inner service is not called. Otherwise, it would keep
    /// the permit until the next request.
    fn release_permit(&mut self) {
        self.inner = self.inner.clone();
    }
}

/// Creates the request of an authenticated caller.
fn authenticated<B>(mut head: Parts, body: B, principal: Principal) -> Request<B> {
    // The mark of an outer layer would bypass the policies.
    head.extensions.remove::<Preflight>();
    head.extensions.insert(principal);
    Request::from_parts(head, body)
}

/// Marks every `Authorization` value as sensitive, so that inner services do not log it.
fn conceal(headers: &mut HeaderMap) {
    if let Some(line) = headers.get_mut(AUTHORIZATION) {
        line.set_sensitive(true);
    }
    // Iterating over all values is slow, and needed only if some header is repeated.
    if headers.len() > headers.keys_len()
        && let Entry::Occupied(mut lines) = headers.entry(AUTHORIZATION)
    {
        lines.iter_mut().for_each(|line| line.set_sensitive(true));
    }
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

impl<A: Authenticator, R> Shared<A, R> {
    fn reject<C>(&self, rejection: Rejection, head: &Parts) -> Response<C>
    where
        R: Respond<C>,
    {
        let challenges = self.authenticator.challenges(head);
        reject(rejection.with_scheme_challenges(&challenges), &*self.responder, head)
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
        A: Authenticator,
    {
        #[pin]
        state: WaitThenCall<A::Future, Box<Pending<S, A, R, B>>, ResponseFuture<S::Future, C>>,
    }
}

/// A request whose credentials are being verified.
struct Pending<S, A, R, B> {
    service: S,
    head: Parts,
    body: B,
    shared: Arc<Shared<A, R>>,
}

impl<S, A, R, B, C> Resume<Result<Principal, Rejection>> for Box<Pending<S, A, R, B>>
where
    S: Service<Request<B>, Response = Response<C>>,
    A: Authenticator,
    R: Respond<C>,
{
    type Future = ResponseFuture<S::Future, C>;

    fn resume(self, result: Result<Principal, Rejection>) -> Self::Future {
        let Pending { mut service, head, body, shared } = *self;
        match result {
            Ok(principal) => {
                ResponseFuture::inner(service.call(authenticated(head, body, principal)))
            }
            Err(rejection) => ResponseFuture::ready(shared.reject(rejection, &head)),
        }
    }
}

impl<S, A, R, B, C> Future for AuthenticateFuture<S, A, R, B, C>
where
    S: Service<Request<B>, Response = Response<C>>,
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
    A: Authenticator,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthenticateFuture").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_authorization_values_are_marked_sensitive() {
        for count in 0..4 {
            for others in [0, 1, 40] {
                let mut headers = HeaderMap::new();
                (0..count).for_each(|_| _ = headers.append(AUTHORIZATION, "x y".parse().unwrap()));
                (0..others).for_each(|_| _ = headers.append("accept", "x".parse().unwrap()));
                conceal(&mut headers);
                let concealed = headers.get_all(AUTHORIZATION).iter().filter(|l| l.is_sensitive());
                assert_eq!(concealed.count(), count, "{count} {others}");
                assert!(headers.get_all("accept").iter().all(|line| !line.is_sensitive()));
            }
        }
    }
}
