use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{HeaderMap, Response};
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
        Inner { #[pin] future: F, headers: Option<Box<HeaderMap>> },
        Ready { response: Option<Response<C>> },
    }
}

impl<F, C> ResponseFuture<F, C> {
    /// Waits for the response of the inner service, and adds the headers to it.
    #[inline]
    pub(crate) fn inner(future: F, headers: Option<Box<HeaderMap>>) -> Self {
        Self { state: State::Inner { future, headers } }
    }

    /// Returns `response` immediately.
    #[inline]
    pub(crate) fn ready(response: Response<C>) -> Self {
        Self { state: State::Ready { response: Some(response) } }
    }
}

impl<F, C, E> Future for ResponseFuture<F, C>
where
    F: Future<Output = Result<Response<C>, E>>,
{
    type Output = F::Output;

    #[inline]
    #[allow(clippy::expect_used)] // futures may panic if polled after completion
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project().state.project() {
            Projected::Inner { future, headers } => {
                let mut result = ready!(future.poll(cx));
                if let Ok(response) = &mut result {
                    add_headers(response.headers_mut(), headers.take());
                }
                Poll::Ready(result)
            }
            Projected::Ready { response } => {
                Poll::Ready(Ok(response.take().expect("polled after completion")))
            }
        }
    }
}

/// Adds headers to those of a response. Headers of the same name are kept.
#[inline]
pub(crate) fn add_headers(to: &mut HeaderMap, headers: Option<Box<HeaderMap>>) {
    if let Some(headers) = headers {
        let mut current = None;
        for (name, value) in *headers {
            // A name is given only for its first value.
            current = name.or(current);
            if let Some(name) = &current {
                to.append(name.clone(), value);
            }
        }
    }
}

impl<F, C> fmt::Debug for ResponseFuture<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
