use std::{
    error::Error,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{HeaderValue, Request, header::AUTHORIZATION, request::Parts};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{AttachError, Authorization, Credentials, destination::Course, layer::Shared};

/// The service of [`AttachLayer`](super::AttachLayer).
///
/// It fails with the inner service's error, or with an [`AttachError`], in a box.
pub struct Attach<S, C> {
    pub(super) inner: S,
    pub(super) shared: Arc<Shared<C>>,
}

type BoxError = Box<dyn Error + Send + Sync>;

impl<S, C, B> Service<Request<B>> for Attach<S, C>
where
    S: Service<Request<B>, Error: Into<BoxError>> + Clone,
    C: Credentials,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let course = if request.headers().contains_key(AUTHORIZATION) {
            Ok(Course::PassOn)
        } else {
            self.shared.rules.judge(request.uri())
        };
        match course {
            Ok(Course::PassOn) => {
                return ResponseFuture::sending(self.inner.call(request));
            }
            Ok(Course::Attach) => {}
            Err(error) => return self.fail(error),
        }
        let (head, body) = request.into_parts();
        let mut answer = self.shared.credentials.authorization(&head);
        match answer.now() {
            Some(Ok(value)) => ResponseFuture::sending(self.inner.call(attach(value, head, body))),
            Some(Err(error)) => self.fail(error),
            None => {
                // The service that was polled ready goes with the request; its clone, which was not,
                // stays here to be polled before the next.
                let clone = self.inner.clone();
                let service = mem::replace(&mut self.inner, clone);
                let waiting = Some(Waiting { service, head, body });
                ResponseFuture { state: State::Waiting { answer, waiting } }
            }
        }
    }
}

impl<S: Clone, C> Attach<S, C> {
    fn fail<B>(&mut self, error: AttachError) -> ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        // What the inner service reserved when it was polled ready, such as a permit, is not needed, and
        // must not be kept from others until somebody calls here again.
        self.inner = self.inner.clone();
        ResponseFuture { state: State::Failed { error: Some(error) } }
    }
}

fn attach<B>(mut value: HeaderValue, mut head: Parts, body: B) -> Request<B> {
    value.set_sensitive(true);
    head.headers.insert(AUTHORIZATION, value);
    Request::from_parts(head, body)
}

impl<S: Clone, C> Clone for Attach<S, C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S: fmt::Debug, C> fmt::Debug for Attach<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attach").field("inner", &self.inner).finish_non_exhaustive()
    }
}

pin_project! {
    /// The response of [`Attach`]: the inner service's, or why the request was not sent.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, S::Future, B>,
    }
}

pin_project! {
    #[project = Projected]
    enum State<S, F, B> {
        Waiting { answer: Authorization, waiting: Option<Waiting<S, B>> },
        Sending { #[pin] response: F },
        Failed { error: Option<AttachError> },
    }
}

/// What a request needs once its credentials are there.
struct Waiting<S, B> {
    service: S,
    head: Parts,
    body: B,
}

impl<S: Service<Request<B>>, B> ResponseFuture<S, B> {
    fn sending(response: S::Future) -> Self {
        Self { state: State::Sending { response } }
    }
}

impl<S, B> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Error: Into<BoxError>>,
{
    type Output = Result<S::Response, BoxError>;

    #[allow(clippy::expect_used)] // as every future may, it panics when polled after its end
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        const AFTER_END: &str = "polled after completion";
        loop {
            let mut state = self.as_mut().project().state;
            let next = match state.as_mut().project() {
                Projected::Waiting { answer, waiting } => {
                    let answer = ready!(Pin::new(answer).poll(cx));
                    let Waiting { mut service, head, body } = waiting.take().expect(AFTER_END);
                    match answer {
                        Ok(value) => {
                            State::Sending { response: service.call(attach(value, head, body)) }
                        }
                        Err(error) => State::Failed { error: Some(error) },
                    }
                }
                Projected::Sending { response } => return response.poll(cx).map_err(Into::into),
                Projected::Failed { error } => {
                    return Poll::Ready(Err(error.take().expect(AFTER_END).into()));
                }
            };
            state.set(next);
        }
    }
}

impl<S: Service<Request<B>>, B> fmt::Debug for ResponseFuture<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
