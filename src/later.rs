//! A future that waits for an answer and then calls a service.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

/// What to do once the answer is there.
pub(crate) trait Resume<T> {
    /// The future of the call.
    type Future: Future;

    /// Starts the call.
    fn resume(self, answer: T) -> Self::Future;
}

pin_project! {
    /// Waits for an answer, then drives the future that [`Resume::resume`] returns for it.
    #[project = Projected]
    pub(crate) enum WaitThenCall<W, N, F> {
        Waiting { #[pin] answer: W, next: Option<N> },
        Calling { #[pin] call: F },
    }
}

impl<W, N, F> WaitThenCall<W, N, F> {
    /// Waits for `answer`, then calls `next` with it.
    pub(crate) fn waiting(answer: W, next: N) -> Self {
        Self::Waiting { answer, next: Some(next) }
    }

    /// Drives a call for which no answer is needed.
    pub(crate) fn calling(call: F) -> Self {
        Self::Calling { call }
    }
}

impl<W, N, F> Future for WaitThenCall<W, N, F>
where
    W: Future,
    N: Resume<W::Output, Future = F>,
    F: Future,
{
    type Output = F::Output;

    #[allow(clippy::expect_used)] // futures may panic if polled after completion
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        loop {
            let call = match self.as_mut().project() {
                Projected::Waiting { answer, next } => {
                    let answer = ready!(answer.poll(cx));
                    next.take().expect("polled after completion").resume(answer)
                }
                Projected::Calling { call } => return call.poll(cx),
            };
            self.set(Self::Calling { call });
        }
    }
}
