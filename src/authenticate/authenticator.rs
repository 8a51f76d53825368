use std::future::Future;

use http::request::Parts;

use crate::{header::Challenges, principal::Principal, rejection::Rejection};

/// Identifies the caller of a request from its head.
///
/// [`AuthenticateLayer`](crate::AuthenticateLayer) calls it. [`BasicAuth`](crate::BasicAuth) and
/// [`JwtAuth`](crate::JwtAuth) are authenticators, and [`any_of`](crate::any_of) combines two of
/// them. Implement this trait to support a custom scheme:
///
/// ```
/// use http::request::Parts;
/// use tower_auth::{
///     Authentication, Authenticator, Challenge, Challenges, Principal, Rejection, RejectionKind,
///     Scheme, credentials::Credentials,
/// };
///
/// const API_KEY: Scheme = Scheme::new("ApiKey");
///
/// struct ApiKeys;
///
/// impl Authenticator for ApiKeys {
///     type Future = Authentication;
///
///     fn authenticate(&self, head: &Parts) -> Option<Authentication> {
///         let credentials = match Credentials::from_headers(&head.headers) {
///             Ok(credentials) => credentials?,
///             Err(error) => return Some(Authentication::ready(Err(error.into()))),
///         };
///         if !credentials.is_for(API_KEY) {
///             return None;
///         }
///         let key = credentials.value().to_vec();
///         Some(Authentication::pending(async move {
///             match look_up(&key).await {
///                 Some(owner) => Ok(Principal::builder(owner, API_KEY).build()),
///                 None => Err(Rejection::new(RejectionKind::InvalidCredentials)),
///             }
///         }))
///     }
///
///     fn challenges(&self, _: &Parts) -> Challenges {
///         Challenge::new(API_KEY).into()
///     }
/// }
/// # async fn look_up(key: &[u8]) -> Option<&'static str> { None }
/// ```
pub trait Authenticator {
    /// The future of the result. It must own the data that it needs from the head.
    type Future: Future<Output = Result<Principal, Rejection>>;

    /// Starts the authentication of a request.
    ///
    /// Returns `None` if the head contains no credentials for this scheme. The credentials are then
    /// *missing*, and another scheme can be tried. If this returns `Some`, the result of the future
    /// is final: invalid credentials are rejected, even if the head also contains other
    /// credentials.
    fn authenticate(&self, head: &Parts) -> Option<Self::Future>;

    /// Returns the result of a future that is ready.
    ///
    /// The layer then calls the inner service immediately, without cloning it. By default, every
    /// future is treated as pending. If [`Future`](Self::Future) is
    /// [`Authentication`](crate::Authentication), implement this with
    /// [`Authentication::into_ready`](crate::Authentication::into_ready).
    ///
    /// # Errors
    ///
    /// Returns the future unchanged if it is pending.
    fn into_ready(future: Self::Future) -> Result<<Self::Future as Future>::Output, Self::Future> {
        Err(future)
    }

    /// Returns the challenges for a request with this head, without an `error` parameter.
    fn challenges(&self, head: &Parts) -> Challenges;
}
