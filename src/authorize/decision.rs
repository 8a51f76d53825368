use super::denial::Denial;
use crate::later::Later;

/// The decision of a [`Policy`](crate::Policy), available now or later.
///
/// - `Ok(())` allows the request.
/// - `Err(denial)` denies it. If the policy could not decide, the denial is *indeterminate*: an
///   outage ([`Denial::unavailable`]), a fault ([`Denial::misconfigured`]), or missing input
///   ([`Denial::indeterminate`]). The request is rejected, and [`not`](crate::Policy::not) keeps
///   the rejection.
///
/// A `Result` converts into a decision that is ready. A policy that needs I/O returns a pending
/// one. It copies what it needs from the caller and the head into the future:
///
/// ```
/// use tower_auth::{Decision, Denial, GuardedRouter, Policy, RequireScopes, policy_fn};
///
/// # fn f(database: Database) -> GuardedRouter {
/// let is_member = policy_fn("member of the project", move |caller, head| {
///     let (database, user) = (database.clone(), caller.subject().to_owned());
///     let project = head.uri.path().to_owned();
///     Decision::pending(async move {
///         match database.is_member(&user, &project).await {
///             Ok(true) => Ok(()),
///             Ok(false) => Err(Denial::forbidden()),
///             Err(error) => Err(Denial::unavailable().because(error)),
///         }
///     })
/// });
/// // The database is not queried for callers without the scope.
/// let policy = RequireScopes::all(["projects:read"]).and(is_member);
/// # use axum::routing::get;
/// # GuardedRouter::new()
///     .route("/projects/{project}", get(|| async { "project" }), policy)
/// # }
/// # #[derive(Clone)]
/// # struct Database;
/// # impl Database {
/// #     async fn is_member(&self, _: &str, _: &str) -> Result<bool, String> { Ok(true) }
/// # }
/// ```
///
/// The layer sets no timeout. While a decision is pending, the layer holds what the inner service
/// reserved for the request, such as a permit. Put a limit on concurrent requests outside the
/// layer.
pub type Decision = Later<Result<(), Denial>>;
