use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, atomic::AtomicBool},
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response, StatusCode, request::Parts};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    authenticator::Authenticator,
    cors::{Preflight, is_preflight},
    outcome::Outcome,
};
use crate::{
    clock::Stopwatch,
    credentials::authorization::missing_credentials,
    header::{Challenge, Challenges, Scheme},
    later::{Later, Resume, WaitThenCall},
    observe::{decided::Decided, observer::Observer},
    principal::{anonymous::Anonymous, caller::Caller},
    rejection::{Rejection, RejectionKind},
    respond::{
        Respond,
        reject::reject,
        response_future::{Completion, ResponseFuture, add_headers, call_or_respond},
    },
};

/// The middleware of [`AuthenticateLayer`](crate::AuthenticateLayer).
pub struct Authenticate<S, A, R> {
    pub(crate) inner: S,
    pub(crate) shared: Arc<Shared<A, R>>,
}

impl<S, A, R> Authenticate<S, A, R> {
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
        let shared = &self.shared;
        shared.observer.add_to(&mut head);
        let authentication = shared.authenticator.authenticate(&head);
        shared.authenticator.conceal(&mut head);
        let state = match authentication.map(Later::into_ready) {
            None => {
                let admission = shared.admit_anonymous(&mut head);
                WaitThenCall::calling(call_or_respond(&mut self.inner, admission, head, body))
            }
            Some(Ok(outcome)) => {
                let admission = shared.admit(outcome, None, &mut head);
                WaitThenCall::calling(call_or_respond(&mut self.inner, admission, head, body))
            }
            Some(Err(pending)) => {
                let since = shared.observer.is_observed(&head).then(Stopwatch::start);
                // Only this instance was polled ready, so it serves the request. Its clone stays
                // here and is polled before the next request.
                let clone = self.clone();
                let service = mem::replace(self, clone);
                WaitThenCall::waiting(pending, Box::new(Pending { service, head, body, since }))
            }
        };
        AuthenticateFuture { state }
    }
}

impl<A: Authenticator, R> Shared<A, R> {
    /// Adds the caller to the request, or rejects the request.
    fn admit<C>(
        &self,
        outcome: Outcome,
        waited: Option<Duration>,
        head: &mut Parts,
    ) -> Result<Completion<R>, Response<C>>
    where
        R: Respond<C>,
    {
        let Outcome { result, headers } = outcome;
        let principal = match result {
            Ok(principal) => principal,
            Err(rejection) => {
                let challenges = self.authenticator.challenges(head);
                let mut response = self.reject(rejection, &challenges, waited, head);
                add_headers(response.headers_mut(), headers);
                return Err(response);
            }
        };
        let observer = Observer::of(head);
        observer.observe_admitted(head, || Decided {
            principal: Some(&principal),
            waited,
            ..Decided::default()
        });
        let caller = Some(Caller::of(&principal));
        // The mark of an outer layer would bypass the policies.
        head.extensions.remove::<Preflight>();
        head.extensions.insert(principal);
        let completion = Completion::new(caller, &self.responder, &observer, head);
        Ok(completion.with_headers(headers))
    }

    /// Marks the request as anonymous, or rejects it because it has no credentials.
    fn admit_anonymous<C>(&self, head: &mut Parts) -> Result<Completion<R>, Response<C>>
    where
        R: Respond<C>,
    {
        let preflight = self.preflight && is_preflight(head);
        let challenges = self.authenticator.challenges(head);
        if challenges.is_empty() {
            return Err(self.reject(no_scheme(), &challenges, None, head));
        }
        if self.missing == MissingCredentials::Reject && !preflight {
            let rejection = missing_credentials(&head.headers);
            return Err(self.reject(rejection, &challenges, None, head));
        }
        if preflight {
            head.extensions.insert(Preflight);
        }
        #[cfg(feature = "axum")]
        if self.missing == MissingCredentials::AllowAnonymous {
            head.extensions.remove::<crate::principal::Principal>();
        }
        Anonymous::mark(&mut head.extensions, challenges);
        let observer = Observer::of(head);
        observer.observe_admitted(head, || Decided {
            principal: head.extensions.get(),
            ..Decided::default()
        });
        let caller = Caller::in_extensions(&head.extensions);
        Ok(Completion::new(caller, &self.responder, &observer, head))
    }

    #[inline(always)] // a call would copy the response
    fn reject<C>(
        &self,
        rejection: Rejection,
        challenges: &Challenges,
        waited: Option<Duration>,
        head: &Parts,
    ) -> Response<C>
    where
        R: Respond<C>,
    {
        let scheme = likely_scheme(&rejection, challenges);
        let mut rejection = rejection.with_scheme_challenges(challenges);
        // A 401 must have a challenge (RFC 9110 §15.5.2).
        if challenges.is_empty()
            && rejection.kind().status() == StatusCode::UNAUTHORIZED
            && rejection.challenges().next().is_none()
        {
            rejection = no_scheme();
        }
        let observer = Observer::of(head);
        let decided = Decided { scheme, waited, ..Decided::default() };
        observer.observe_rejected(&rejection, head, decided, &self.reported_fault);
        reject(rejection, &*self.responder, head)
    }
}

/// Returns the scheme of the credentials if a custom authenticator has rejected them: that of its
/// challenge, or the only one of the layer.
fn likely_scheme(rejection: &Rejection, challenges: &Challenges) -> Option<Scheme> {
    if rejection.scheme().is_some()
        || matches!(
            rejection.kind(),
            RejectionKind::MissingCredentials
                | RejectionKind::MalformedRequest
                | RejectionKind::Misconfigured
        )
    {
        return None;
    }
    only_scheme(rejection.challenges()).or_else(|| only_scheme(challenges.iter()))
}

fn only_scheme<'c>(mut challenges: impl Iterator<Item = &'c Challenge>) -> Option<Scheme> {
    let first = challenges.next()?;
    challenges.next().is_none().then(|| first.scheme())
}

/// Rejects a request because the layer cannot ask for credentials.
fn no_scheme() -> Rejection {
    Rejection::new(RejectionKind::Misconfigured)
        .because("the authenticator has no challenge: give the layer at least one scheme")
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
    /// When the request began to wait, if that is observed.
    since: Option<Stopwatch>,
}

impl<S, A, R, B, C> Resume<Outcome> for Box<Pending<S, A, R, B>>
where
    S: Service<Request<B>, Response = Response<C>> + Clone,
    A: Authenticator,
    R: Respond<C>,
{
    type Future = ResponseFuture<S::Future, R, C>;

    fn resume(self, outcome: Outcome) -> Self::Future {
        let Pending { mut service, mut head, body, since } = *self;
        let waited = since.map(Stopwatch::elapsed);
        let admission = service.shared.admit(outcome, waited, &mut head);
        call_or_respond(&mut service.inner, admission, head, body)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_of_a_rejection_is_that_of_its_challenge_or_the_only_one() {
        let invalid = || Rejection::new(RejectionKind::InvalidCredentials);
        let negotiate = || Challenge::new(Scheme::new("Negotiate"));
        let one = Challenges::from(negotiate());
        let several = Challenges::from(Challenge::new(Scheme::BEARER)).and(negotiate());
        let found = Some(Scheme::new("Negotiate"));
        assert_eq!(likely_scheme(&invalid(), &one), found);
        assert_eq!(likely_scheme(&invalid(), &several), None);
        assert_eq!(likely_scheme(&invalid().with_challenge(negotiate()), &several), found);
        for kind in [RejectionKind::MissingCredentials, RejectionKind::Misconfigured] {
            assert_eq!(likely_scheme(&Rejection::new(kind), &one), None);
        }
    }
}
