use std::fmt;

use http::request::Parts;

use crate::{
    authorize::{decision::Decision, describe::policy_layer, policy::Policy},
    principal::Principal,
};

/// Allows all requests, including anonymous requests.
///
/// Anonymous requests reach the policy only through an
/// [optional](crate::AuthenticateLayer::optional) outer layer. Requests with invalid credentials
/// are still rejected by that layer.
///
/// ```
/// use tower_auth::{RequireScopes, authorize::{Routes, public}};
///
/// let routes = Routes::new()
///     .route("/health", public())
///     .route("/orders/{id}", RequireScopes::all(["orders:read"]));
/// ```
pub fn public() -> Public {
    Public(())
}

/// A policy that allows all requests. [`public`] creates it.
#[derive(Clone, Copy)]
#[must_use]
pub struct Public(());

impl Policy for Public {
    fn evaluate(&self, _: &Principal, _: &Parts) -> Decision {
        Decision::ready(Ok(()))
    }

    fn is_public(&self, _: &Parts) -> bool {
        true
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("public")
    }
}

policy_layer!(Public);
