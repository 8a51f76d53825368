use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use crate::{principal::Principal, rejection::Rejection};

/// The result of an [`Authenticator`](crate::Authenticator): either ready, or a pending future.
///
/// A ready result does not allocate. Use it if verification needs no I/O, as for a JWT whose key is
/// known. A pending future is boxed. Use it to wait, for example for a user store.
#[must_use = "futures do nothing unless polled"]
pub struct Authentication(State);

enum State {
    Ready(Option<Result<Principal, Rejection>>),
    Pending(Pin<Box<dyn Future<Output = Result<Principal, Rejection>> + Send>>),
}

impl Authentication {
    /// Creates a result that is ready.
    pub fn ready(result: Result<Principal, Rejection>) -> Self {
        Self(State::Ready(Some(result)))
    }

    /// Returns the result if it is ready.
    ///
    /// ```
    /// use tower_auth::{Authentication, Principal, Scheme};
    ///
    /// let caller = Principal::builder("alice", Scheme::BASIC).build();
    /// let authentication = Authentication::ready(Ok(caller));
    /// assert_eq!(authentication.into_ready().unwrap().unwrap().subject(), "alice");
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the future unchanged if it is pending.
    pub fn into_ready(self) -> Result<Result<Principal, Rejection>, Self> {
        match self.0 {
            State::Ready(Some(result)) => Ok(result),
            state => Err(Self(state)),
        }
    }

    /// Creates a pending result from a future.
    pub fn pending<F>(future: F) -> Self
    where
        F: Future<Output = Result<Principal, Rejection>> + Send + 'static,
    {
        Self(State::Pending(Box::pin(future)))
    }
}

impl Future for Authentication {
    type Output = Result<Principal, Rejection>;

    #[allow(clippy::expect_used)] // futures may panic if polled after completion
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            State::Ready(result) => Poll::Ready(result.take().expect("polled after completion")),
            State::Pending(future) => future.as_mut().poll(cx),
        }
    }
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            State::Ready(_) => "Authentication(ready)",
            State::Pending(_) => "Authentication(pending)",
        })
    }
}
