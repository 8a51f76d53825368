use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::Response;
use pin_project_lite::pin_project;

pin_project! {
    /// The response future of a layer that either responds immediately or calls the inner service.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, C> {
        #[pin]
        state: State<F, C>,
    }
}

pin_project! {
    #[project = Projected]
    enum State<F, C> {
        Inner { #[pin] future: F },
        Ready { response: Option<Response<C>> },
    }
}

impl<F, C> ResponseFuture<F, C> {
    /// Waits for the response of the inner service.
    pub(crate) fn inner(future: F) -> Self {
        Self { state: State::Inner { future } }
    }

    /// Returns `response` immediately.
    pub(crate) fn ready(response: Response<C>) -> Self {
        Self { state: State::Ready { response: Some(response) } }
    }
}

impl<F, C, E> Future for ResponseFuture<F, C>
where
    F: Future<Output = Result<Response<C>, E>>,
{
    type Output = F::Output;

    #[allow(clippy::expect_used)] // futures may panic if polled after completion
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project().state.project() {
            Projected::Inner { future } => future.poll(cx),
            Projected::Ready { response } => {
                Poll::Ready(Ok(response.take().expect("polled after completion")))
            }
        }
    }
}

impl<F, C> fmt::Debug for ResponseFuture<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
