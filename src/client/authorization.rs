use std::sync::Arc;

use http::{HeaderValue, request::Parts};

use super::error::AttachError;
use crate::later::Later;

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

/// The value of the `Authorization` header, now or later.
pub type Authorization = Later<Result<HeaderValue, AttachError>>;
