//! Values that are available now or later.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

/// A boxed future, for traits that are used as trait objects.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A value that is available now or later: either ready, or a future.
///
/// Authenticators, verifiers and policies return it. A ready value needs no allocation. A pending
/// value is a boxed future, for example of a database query.
///
/// ```
/// use tower_auth::Later;
///
/// let now = Later::<u32>::ready(1u32);
/// assert_eq!(now.into_ready().unwrap(), 1);
///
/// let later = Later::<u32>::pending(async { 2u32 });
/// assert!(later.into_ready().is_err());
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct Later<T>(State<T>);

enum State<T> {
    Ready(T),
    Pending(BoxFuture<'static, T>),
    Done,
}

impl<T> Later<T> {
    /// Creates a value that is ready.
    #[inline]
    pub fn ready(value: impl Into<T>) -> Self {
        Self(State::Ready(value.into()))
    }

    /// Creates a value that a future returns.
    pub fn pending<F>(future: F) -> Self
    where
        F: Future<Output: Into<T>> + Send + 'static,
    {
        Self(State::Pending(Box::pin(async move { future.await.into() })))
    }

    /// Returns the value if it is ready.
    ///
    /// # Errors
    ///
    /// Returns `self` unchanged if the value is pending.
    #[inline]
    pub fn into_ready(self) -> Result<T, Self> {
        match self.0 {
            State::Ready(value) => Ok(value),
            state => Err(Self(state)),
        }
    }

    /// Applies a function to the value, now or later.
    #[inline]
    pub fn map<U, F>(self, f: F) -> Later<U>
    where
        T: Send + 'static,
        F: FnOnce(T) -> U + Send + 'static,
    {
        match self.into_ready() {
            Ok(value) => Later(State::Ready(f(value))),
            Err(pending) => Later(State::Pending(Box::pin(async move { f(pending.await) }))),
        }
    }
}

/// A value that is ready.
impl<T> From<T> for Later<T> {
    #[inline]
    fn from(value: T) -> Self {
        Self(State::Ready(value))
    }
}

// The value is never pinned: it is moved out when the future completes.
impl<T> Unpin for Later<T> {}

impl<T> Future for Later<T> {
    type Output = T;

    #[allow(clippy::panic)] // futures may panic if polled after completion
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let state = &mut self.get_mut().0;
        if let State::Pending(future) = state {
            let value = ready!(future.as_mut().poll(cx));
            *state = State::Ready(value);
        }
        match mem::replace(state, State::Done) {
            State::Ready(value) => Poll::Ready(value),
            State::Pending(_) | State::Done => panic!("polled after completion"),
        }
    }
}

impl<T> fmt::Debug for Later<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            State::Ready(_) => "Later(ready)",
            State::Pending(_) => "Later(pending)",
            State::Done => "Later(done)",
        })
    }
}

/// Starts a call with a value that was awaited.
pub(crate) trait Resume<T> {
    /// The future of the call.
    type Future: Future;

    /// Starts the call.
    fn resume(self, value: T) -> Self::Future;
}

pin_project! {
    /// Waits for a value, then drives the future that [`Resume::resume`] returns for it.
    #[project = Projected]
    pub(crate) enum WaitThenCall<T, N, F> {
        Waiting { later: Later<T>, next: Option<N> },
        Calling { #[pin] call: F },
    }
}

impl<T, N, F> WaitThenCall<T, N, F> {
    /// Waits for `later`, then calls `next` with its value.
    #[inline]
    pub(crate) fn waiting(later: Later<T>, next: N) -> Self {
        Self::Waiting { later, next: Some(next) }
    }

    /// Drives a call that needs no value.
    #[inline]
    pub(crate) fn calling(call: F) -> Self {
        Self::Calling { call }
    }
}

impl<T, N, F> Future for WaitThenCall<T, N, F>
where
    N: Resume<T, Future = F>,
    F: Future,
{
    type Output = F::Output;

    #[inline]
    #[allow(clippy::expect_used)] // futures may panic if polled after completion
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        loop {
            let call = match self.as_mut().project() {
                Projected::Waiting { later, next } => {
                    let value = ready!(Pin::new(later).poll(cx));
                    next.take().expect("polled after completion").resume(value)
                }
                Projected::Calling { call } => return call.poll(cx),
            };
            self.set(Self::Calling { call });
        }
    }
}
