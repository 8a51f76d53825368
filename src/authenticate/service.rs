use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{
    HeaderMap, Request, Response,
    header::{AUTHORIZATION, Entry},
    request::Parts,
};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    Authenticator,
    layer::{Missing, Shared},
    preflight::is_preflight,
};
use crate::{
    Principal, Rejection, RejectionKind,
    principal::{Anonymous, Preflight},
    respond::{Respond, ResponseFuture as Answered, refuse},
};

/// The service of [`AuthenticateLayer`](crate::AuthenticateLayer).
pub struct Authenticate<S, A, R> {
    pub(super) inner: S,
    pub(super) shared: Arc<Shared<A, R>>,
}

impl<S, A, R, B, C> Service<Request<B>> for Authenticate<S, A, R>
where
    S: Service<Request<B>, Response = Response<C>> + Clone,
    A: Authenticator,
    R: Respond<C>,
{
    type Response = Response<C>;
    type Error = S::Error;
    type Future = ResponseFuture<S, A, R, B, C>;

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
                let request = admitted(head, body, principal);
                State::Answered { response: Answered::serving(self.inner.call(request)) }
            }
            Some(Ok(Err(rejection))) => {
                let response = Answered::answered(shared.refuse(rejection, &head));
                self.give_back();
                State::Answered { response }
            }
            Some(Err(answer)) => {
                // The service that was polled ready goes with the request; its clone, which was not,
                // stays here to be polled before the next.
                let clone = self.inner.clone();
                let service = mem::replace(&mut self.inner, clone);
                let waiting = Waiting { service, head, body, shared: Arc::clone(shared) };
                let waiting = Some(Box::new(waiting));
                State::Authenticating { answer, waiting }
            }
            None if shared.missing != Missing::Refused || preflight => {
                if preflight {
                    head.extensions.insert(Preflight);
                }
                #[cfg(feature = "axum")]
                if shared.missing == Missing::Stranger {
                    head.extensions.remove::<Principal>();
                }
                let challenges = shared.authenticator.challenges(&head);
                Anonymous::mark(&mut head.extensions, challenges);
                let response = self.inner.call(Request::from_parts(head, body));
                State::Answered { response: Answered::serving(response) }
            }
            None => {
                let rejection = Rejection::new(RejectionKind::MissingCredentials);
                let response = Answered::answered(shared.refuse(rejection, &head));
                self.give_back();
                State::Answered { response }
            }
        };
        ResponseFuture { state }
    }
}

impl<S: Clone, A, R> Authenticate<S, A, R> {
    /// What the inner service reserved when it was polled ready, such as a permit, is not needed, and must not be kept from
    /// others until somebody calls here again.
    fn give_back(&mut self) {
        self.inner = self.inner.clone();
    }
}

/// The request of a caller who is known, who is asked what policies ask.
fn admitted<B>(mut head: Parts, body: B, principal: Principal) -> Request<B> {
    head.extensions.remove::<Preflight>();
    head.extensions.insert(principal);
    Request::from_parts(head, body)
}

/// Whoever sees the head from here on may log it: not these lines.
fn conceal(headers: &mut HeaderMap) {
    if let Some(line) = headers.get_mut(AUTHORIZATION) {
        line.set_sensitive(true);
    }
    // Some field is there more than once, which may be this one.
    if headers.len() > headers.keys_len()
        && let Entry::Occupied(mut lines) = headers.entry(AUTHORIZATION)
    {
        lines.iter_mut().for_each(|line| line.set_sensitive(true));
    }
}

impl<A: Authenticator, R> Shared<A, R> {
    fn refuse<C>(&self, rejection: Rejection, head: &Parts) -> Response<C>
    where
        R: Respond<C>,
    {
        let challenges = self.authenticator.challenges(head);
        refuse(rejection.asking_for(&challenges), &*self.responder, head)
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
    /// The response of [`Authenticate`]: the inner service's, or a refusal.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, A, R, B, C>
    where
        S: Service<Request<B>>,
        A: Authenticator,
    {
        #[pin]
        state: State<S, S::Future, A::Future, A, R, B, C>,
    }
}

pin_project! {
    #[project = Projected]
    enum State<S, F, Q, A, R, B, C> {
        Authenticating { #[pin] answer: Q, waiting: Option<Box<Waiting<S, A, R, B>>> },
        Answered { #[pin] response: Answered<F, C> },
    }
}

/// What a request needs once its answer is there.
struct Waiting<S, A, R, B> {
    service: S,
    head: Parts,
    body: B,
    shared: Arc<Shared<A, R>>,
}

impl<S, A, R, B, C> Future for ResponseFuture<S, A, R, B, C>
where
    S: Service<Request<B>, Response = Response<C>>,
    A: Authenticator,
    R: Respond<C>,
{
    type Output = Result<Response<C>, S::Error>;

    #[allow(clippy::expect_used)] // as every future may, it panics when polled after its end
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let mut state = self.as_mut().project().state;
            let response = match state.as_mut().project() {
                Projected::Authenticating { answer, waiting } => {
                    let answer = ready!(answer.poll(cx));
                    let Waiting { mut service, head, body, shared } =
                        *waiting.take().expect("polled after completion");
                    match answer {
                        Ok(principal) => {
                            Answered::serving(service.call(admitted(head, body, principal)))
                        }
                        Err(rejection) => Answered::answered(shared.refuse(rejection, &head)),
                    }
                }
                Projected::Answered { response } => return response.poll(cx),
            };
            state.set(State::Answered { response });
        }
    }
}

impl<S, A, R, B, C> fmt::Debug for ResponseFuture<S, A, R, B, C>
where
    S: Service<Request<B>>,
    A: Authenticator,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_credentials_is_concealed() {
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
