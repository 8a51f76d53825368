use std::{fmt, future::Future, sync::Arc};

use http::request::Parts;

use super::denial::Denial;
use crate::principal::Principal;

/// An authorization rule that needs I/O, such as a query to a database or a policy engine.
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
///             Err(error) => Err(Denial::unavailable().because(error)),
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
/// The layer sets no timeout. If the lookup fails, return [`Denial::unavailable`], which becomes
/// a 503.
///
/// While the policy waits, the layer holds what the inner service reserved for the request, such
/// as a permit. Put a limit on concurrent requests outside this layer.
pub trait AsyncPolicy: Send + Sync + 'static {
    /// Decides whether the caller may send a request with this head.
    ///
    /// # Errors
    ///
    /// Returns a [`Denial`] if the request is not allowed, or if the decision cannot be made.
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

/// Marks the policy of a layer as asynchronous.
///
/// [`AuthorizeLayer::from_async`](crate::AuthorizeLayer::from_async) creates it.
#[derive(Clone, Copy)]
pub struct Async<P>(pub(crate) P);

impl<P> fmt::Debug for Async<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Async({})", std::any::type_name::<P>())
    }
}
