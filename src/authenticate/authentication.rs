use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use crate::{principal::Principal, rejection::Rejection};

/// The answer of an [`Authenticator`](crate::Authenticator): there already, or still to come.
///
/// What can be answered at once, as a JWT under a known key can, takes no box. What has to wait, as
/// for a user store, takes one.
#[must_use = "futures do nothing unless polled"]
pub struct Authentication(State);

enum State {
    Ready(Option<Result<Principal, Rejection>>),
    Pending(Pin<Box<dyn Future<Output = Result<Principal, Rejection>> + Send>>),
}

impl Authentication {
    /// An answer that is there.
    pub fn ready(answer: Result<Principal, Rejection>) -> Self {
        Self(State::Ready(Some(answer)))
    }

    /// The answer, if it is there.
    ///
    /// ```
    /// use tower_auth::{Authentication, Principal, Scheme};
    ///
    /// let caller = Principal::builder("alice", Scheme::BASIC).build();
    /// let known = Authentication::ready(Ok(caller));
    /// assert_eq!(known.into_ready().unwrap().unwrap().subject(), "alice");
    /// ```
    ///
    /// # Errors
    ///
    /// The same as it was, where the answer is still to come.
    pub fn into_ready(self) -> Result<Result<Principal, Rejection>, Self> {
        match self.0 {
            State::Ready(Some(answer)) => Ok(answer),
            state => Err(Self(state)),
        }
    }

    /// An answer that is still to come.
    pub fn pending<F>(answer: F) -> Self
    where
        F: Future<Output = Result<Principal, Rejection>> + Send + 'static,
    {
        Self(State::Pending(Box::pin(answer)))
    }
}

impl Future for Authentication {
    type Output = Result<Principal, Rejection>;

    #[allow(clippy::expect_used)] // as every future may, it panics when polled after its end
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            State::Ready(answer) => Poll::Ready(answer.take().expect("polled after completion")),
            State::Pending(answer) => answer.as_mut().poll(cx),
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
