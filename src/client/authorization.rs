use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderValue, request::Parts};

use super::error::AttachError;

/// Provides the value of the `Authorization` header for each request that a client sends.
///
/// [`BasicAuthorization`](super::BasicAuthorization), [`BearerToken`](super::BearerToken) and
/// [`RefreshingToken`](super::RefreshingToken) implement this trait. Implement it yourself for a
/// custom scheme:
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
/// To choose the implementation at run time, use `Arc<dyn AuthorizationSource>`.
pub trait AuthorizationSource: Send + Sync {
    /// Returns the value for the request with this head.
    ///
    /// [`Attach`](super::Attach) marks the value as sensitive.
    fn authorization(&self, head: &Parts) -> Authorization;
}

impl<C: AuthorizationSource + ?Sized> AuthorizationSource for Arc<C> {
    fn authorization(&self, head: &Parts) -> Authorization {
        (**self).authorization(head)
    }
}

/// A future of the `Authorization` header value.
///
/// A value that is available immediately needs no allocation. A value that must be awaited, for
/// example until a token is fetched, is a boxed future.
#[must_use = "futures do nothing unless polled"]
pub struct Authorization(State);

enum State {
    Ready(Option<Result<HeaderValue, AttachError>>),
    Pending(Pin<Box<dyn Future<Output = Result<HeaderValue, AttachError>> + Send>>),
}

impl Authorization {
    /// Creates a value that is available immediately.
    pub fn ready(value: Result<HeaderValue, AttachError>) -> Self {
        Self(State::Ready(Some(value)))
    }

    /// Creates a value that `value` resolves to.
    pub fn pending<F>(value: F) -> Self
    where
        F: Future<Output = Result<HeaderValue, AttachError>> + Send + 'static,
    {
        Self(State::Pending(Box::pin(value)))
    }

    /// Takes the value if it is available without waiting.
    pub(crate) fn take_ready(&mut self) -> Option<Result<HeaderValue, AttachError>> {
        match &mut self.0 {
            State::Ready(value) => value.take(),
            State::Pending(_) => None,
        }
    }
}

impl Future for Authorization {
    type Output = Result<HeaderValue, AttachError>;

    #[allow(clippy::expect_used)] // futures may panic if polled after completion
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
