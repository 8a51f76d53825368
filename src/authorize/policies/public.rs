use std::fmt;

use http::request::Parts;

use crate::{
    authorize::{denial::Denial, describe::policy_layer, policy::Policy},
    principal::Principal,
};

/// Lets everybody through, also those of whom nobody knows who they are.
///
/// That takes an [optional](crate::AuthenticateLayer::optional) layer outside of it, which lets requests
/// without credentials come so far. Credentials that are not good are refused all the same.
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

/// Lets everybody through: see [`public`].
#[derive(Clone, Copy)]
#[must_use]
pub struct Public(());

impl Policy for Public {
    fn evaluate(&self, _: &Principal, _: &Parts) -> Result<(), Denial> {
        Ok(())
    }

    fn is_public(&self, _: &Parts) -> bool {
        true
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("public")
    }
}

policy_layer!(Public);
