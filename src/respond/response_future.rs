use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::Response;
use pin_project_lite::pin_project;

pin_project! {
    /// The response of a layer that answers at once or passes on: its own, or the inner service's.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, C> {
        #[pin]
        state: State<F, C>,
    }
}

pin_project! {
    #[project = Projected]
    enum State<F, C> {
        Serving { #[pin] response: F },
        Answered { response: Option<Response<C>> },
    }
}

impl<F, C> ResponseFuture<F, C> {
    pub(crate) fn serving(response: F) -> Self {
        Self { state: State::Serving { response } }
    }

    pub(crate) fn answered(response: Response<C>) -> Self {
        Self { state: State::Answered { response: Some(response) } }
    }
}

impl<F, C, E> Future for ResponseFuture<F, C>
where
    F: Future<Output = Result<Response<C>, E>>,
{
    type Output = F::Output;

    #[allow(clippy::expect_used)] // as every future may, it panics when polled after its end
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project().state.project() {
            Projected::Serving { response } => response.poll(cx),
            Projected::Answered { response } => {
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
