use std::{borrow::Cow, fmt};

use http::request::Parts;
use tower_layer::Layer;

use crate::{
    authorize::{decision::Decision, layer::AuthorizeLayer, policy::Policy, service::Authorize},
    principal::Principal,
};

/// Creates a policy from a closure. The name appears in logs and route lists.
///
/// The closure returns a `Result`, or a [`Decision`] if it has to wait:
///
/// ```
/// # use axum::{Router, routing::get};
/// use tower_auth::{Denial, policy_fn};
///
/// let only_alice = policy_fn("only alice", |caller, _| match caller.subject() {
///     "alice" => Ok(()),
///     _ => Err(Denial::forbidden()),
/// });
/// # let _: Router = Router::new()
///     .route("/diary", get(|| async { "dear diary" }).layer(only_alice))
/// # ;
/// ```
///
/// [`Decision`] has an example that queries a database.
pub fn policy_fn<F, D>(name: impl Into<Cow<'static, str>>, decide: F) -> PolicyFn<F>
where
    F: Fn(&Principal, &Parts) -> D + Send + Sync,
    D: Into<Decision>,
{
    PolicyFn { name: name.into(), decide }
}

/// A policy that calls a closure. [`policy_fn`] creates it.
#[derive(Clone)]
#[must_use]
pub struct PolicyFn<F> {
    name: Cow<'static, str>,
    decide: F,
}

impl<F, D> Policy for PolicyFn<F>
where
    F: Fn(&Principal, &Parts) -> D + Send + Sync,
    D: Into<Decision>,
{
    fn evaluate(&self, caller: &Principal, head: &Parts) -> Decision {
        (self.decide)(caller, head).into()
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl<S, F: Clone> Layer<S> for PolicyFn<F> {
    type Service = Authorize<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        AuthorizeLayer::new(self.clone()).layer(inner)
    }
}

impl<F> fmt::Display for PolicyFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl<F> fmt::Debug for PolicyFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policy({self})")
    }
}
