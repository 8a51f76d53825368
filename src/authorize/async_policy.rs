use std::{fmt, future::Future, sync::Arc};

use http::request::Parts;

use super::denial::Denial;
use crate::principal::Principal;

/// Decides what a known caller may do, where that takes asking somebody else: a database, or a policy engine.
///
/// ```
/// use http::request::Parts;
/// use tower_auth::{AuthorizeLayer, Denial, Principal, authorize::AsyncPolicy};
///
/// struct Members(Database);
///
/// impl AsyncPolicy for Members {
///     async fn evaluate(&self, caller: &Principal, head: &Parts) -> Result<(), Denial> {
///         match self.0.is_member(caller.subject(), head.uri.path()).await {
///             Ok(true) => Ok(()),
///             Ok(false) => Err(Denial::forbidden()),
///             Err(away) => Err(Denial::unavailable().because(away)),
///         }
///     }
/// }
///
/// # fn f(database: Database) {
/// let layer = AuthorizeLayer::from_async(Members(database));
/// # }
/// # struct Database;
/// # impl Database {
/// #     async fn is_member(&self, _: &str, _: &str) -> Result<bool, String> { Ok(true) }
/// # }
/// ```
///
/// It has no time limit of its own. What fails has to say [`Denial::unavailable`], which is a 503. While it waits, it
/// holds what the inner service has reserved for the request: a limit on concurrent requests belongs outside of it.
pub trait AsyncPolicy: Send + Sync + 'static {
    /// Whether this caller may send this request.
    ///
    /// # Errors
    ///
    /// A [`Denial`], where it may not, or where nobody can tell.
    fn evaluate(
        &self,
        principal: &Principal,
        head: &Parts,
    ) -> impl Future<Output = Result<(), Denial>> + Send;
}

impl<P: AsyncPolicy> AsyncPolicy for Arc<P> {
    async fn evaluate(&self, principal: &Principal, head: &Parts) -> Result<(), Denial> {
        (**self).evaluate(principal, head).await
    }
}

/// Marks the policy of a layer as one that waits: see
/// [`AuthorizeLayer::from_async`](crate::AuthorizeLayer::from_async).
#[derive(Clone, Copy)]
pub struct Async<P>(pub(crate) P);

impl<P> fmt::Debug for Async<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Async({})", std::any::type_name::<P>())
    }
}
