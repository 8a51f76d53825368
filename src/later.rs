//! A future that waits for a value and then calls a service.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

/// Starts a call with a value that was awaited.
pub(crate) trait Resume<T> {
    /// The future of the call.
    type Future: Future;

    /// Starts the call.
    fn resume(self, value: T) -> Self::Future;
}

pin_project! {
    /// Waits for a future, then drives the future that [`Resume::resume`] returns for its output.
    #[project = Projected]
    pub(crate) enum WaitThenCall<W, N, F> {
        Waiting { #[pin] future: W, next: Option<N> },
        Calling { #[pin] call: F },
    }
}

impl<W, N, F> WaitThenCall<W, N, F> {
    /// Waits for `future`, then calls `next` with its output.
    pub(crate) fn waiting(future: W, next: N) -> Self {
        Self::Waiting { future, next: Some(next) }
    }

    /// Drives a call that needs no value.
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
                Projected::Waiting { future, next } => {
                    let value = ready!(future.poll(cx));
                    next.take().expect("polled after completion").resume(value)
                }
                Projected::Calling { call } => return call.poll(cx),
            };
            self.set(Self::Calling { call });
        }
    }
}
