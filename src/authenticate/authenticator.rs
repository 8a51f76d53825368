use std::future::Future;

use http::request::Parts;

use crate::{header::Challenges, principal::Principal, rejection::Rejection};

/// Finds out who sent a request, from its head alone.
///
/// [`AuthenticateLayer`] runs it. [`BasicAuth`](crate::BasicAuth) and [`JwtAuth`](crate::JwtAuth)
/// are authenticators, [`any_of`] makes one of two, and a scheme of your own is a short `impl`:
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
    /// Owns what it took from the head, so that it may outlive the borrow.
    type Future: Future<Output = Result<Principal, Rejection>>;

    /// Starts to check the credentials in this head.
    ///
    /// `None` says that the head holds no credentials for this scheme. They are *missing*, then, and
    /// another scheme may try. Once it is `Some`, the future's answer is final: a credential that
    /// is not good is refused, whatever else the head holds.
    fn authenticate(&self, head: &Parts) -> Option<Self::Future>;

    /// Takes the answer out of a future that has it already. The layer then waits for nothing, and needs no clone of the
    /// service further in.
    ///
    /// By default, it waits for every answer. Where the future is an [`Authentication`], this is
    /// [`Authentication::into_ready`].
    ///
    /// # Errors
    ///
    /// The future itself, where its answer is still to come.
    fn into_ready(future: Self::Future) -> Result<<Self::Future as Future>::Output, Self::Future> {
        Err(future)
    }

    /// What to ask the sender of this head for, without an `error`.
    fn challenges(&self, head: &Parts) -> Challenges;
}
