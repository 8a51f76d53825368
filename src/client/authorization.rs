use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderValue, request::Parts};

use super::error::AttachError;

/// What a client has to show: gives the value of `Authorization` for each request.
///
/// [`BasicAuthorization`](super::BasicAuthorization), [`BearerToken`](super::BearerToken) and
/// [`RefreshingToken`](super::RefreshingToken) are some. For a scheme of your own:
///
/// ```
/// use http::{HeaderValue, request::Parts};
/// use tower_auth::client::{Authorization, AuthorizationSource};
///
/// struct ApiKey(HeaderValue);
///
/// impl AuthorizationSource for ApiKey {
///     fn authorization(&self, _: &Parts) -> Authorization {
///         Authorization::ready(Ok(self.0.clone()))
///     }
/// }
/// # let _ = tower_auth::client::AttachLayer::new(ApiKey("ApiKey k-123".parse().unwrap()));
/// ```
///
/// Which of several it is may be known at run time only: `Arc<dyn AuthorizationSource>` is one, too.
pub trait AuthorizationSource: Send + Sync {
    /// The value, for a request with this head. It is marked as sensitive for you.
    fn authorization(&self, head: &Parts) -> Authorization;
}

impl<C: AuthorizationSource + ?Sized> AuthorizationSource for Arc<C> {
    fn authorization(&self, head: &Parts) -> Authorization {
        (**self).authorization(head)
    }
}

/// The value of `Authorization`: there already, or still to come.
///
/// What is there takes no box. What has to wait, as for a token to be fetched, takes one.
#[must_use = "futures do nothing unless polled"]
pub struct Authorization(State);

enum State {
    Ready(Option<Result<HeaderValue, AttachError>>),
    Pending(Pin<Box<dyn Future<Output = Result<HeaderValue, AttachError>> + Send>>),
}

impl Authorization {
    /// A value that is there.
    pub fn ready(value: Result<HeaderValue, AttachError>) -> Self {
        Self(State::Ready(Some(value)))
    }

    /// A value that is still to come.
    pub fn pending<F>(value: F) -> Self
    where
        F: Future<Output = Result<HeaderValue, AttachError>> + Send + 'static,
    {
        Self(State::Pending(Box::pin(value)))
    }

    /// The value, where it is there.
    pub(crate) fn now(&mut self) -> Option<Result<HeaderValue, AttachError>> {
        match &mut self.0 {
            State::Ready(value) => value.take(),
            State::Pending(_) => None,
        }
    }
}

impl Future for Authorization {
    type Output = Result<HeaderValue, AttachError>;

    #[allow(clippy::expect_used)] // as every future may, it panics when polled after its end
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            State::Ready(value) => Poll::Ready(value.take().expect("polled after completion")),
            State::Pending(value) => value.as_mut().poll(cx),
        }
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            State::Ready(_) => "Authorization(ready)",
            State::Pending(_) => "Authorization(pending)",
        })
    }
}
