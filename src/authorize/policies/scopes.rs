use std::{fmt, sync::Arc};

use http::request::Parts;

use super::hierarchy::ScopeHierarchy;
use crate::{
    authorize::{
        decision::Decision,
        denial::Denial,
        describe::{policy_layer, write_list},
        policy::Policy,
        requirements::Requirements,
    },
    config_error::ConfigError,
    header::grammar::check_scopes,
    one_or_many::OneOrMany,
    principal::{Principal, Scopes, scopes::Scope},
};

/// Requires scopes, for a router or a single route.
///
/// It is a layer, and also a [`Policy`] that can be combined with others, for example with
/// [`and`](Policy::and), or passed to [`AuthorizeLayer::new`](crate::AuthorizeLayer::new).
///
/// ```
/// # use axum::{Router, routing::get};
/// use tower_auth::RequireScopes;
///
/// # let _: Router = Router::new()
///     .route("/orders", get(|| async { "orders" }).layer(RequireScopes::all(["orders:read"])))
/// # ;
/// ```
///
/// Scopes must match exactly, including case. The rejection is a 403 that names all scopes that
/// the route requires (RFC 6750 §3.1).
///
/// Put it inside an [`AuthenticateLayer`](crate::AuthenticateLayer). Without one, every request is
/// rejected with 500.
#[derive(Clone)]
#[must_use]
pub struct RequireScopes {
    scopes: Arc<[RequiredScope]>,
    mode: Mode,
}

struct RequiredScope {
    scope: Scope,
    /// The scopes that imply this scope.
    implied_by: Box<[Scope]>,
}

#[derive(Clone, Copy)]
enum Mode {
    All,
    Any,
}

impl RequireScopes {
    /// Requires all of these scopes.
    ///
    /// # Panics
    ///
    /// Panics if there is no scope, or if a scope is not a scope-token (RFC 6749 §3.3).
    /// [`try_all`](Self::try_all) returns an error instead.
    #[track_caller]
    pub fn all<K>(scopes: impl OneOrMany<str, K>) -> Self {
        ConfigError::or_panic(Self::try_all(scopes))
    }

    /// Requires at least one of these scopes.
    ///
    /// # Panics
    ///
    /// Panics if there is no scope, or if a scope is not a scope-token (RFC 6749 §3.3).
    /// [`try_any`](Self::try_any) returns an error instead.
    #[track_caller]
    pub fn any<K>(scopes: impl OneOrMany<str, K>) -> Self {
        ConfigError::or_panic(Self::try_any(scopes))
    }

    /// Like [`all`](Self::all), for scopes from the configuration.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no scope, or if a scope is not a scope-token.
    pub fn try_all<K>(scopes: impl OneOrMany<str, K>) -> Result<Self, ConfigError> {
        Ok(Self { scopes: required_scopes(scopes)?, mode: Mode::All })
    }

    /// Like [`any`](Self::any), for scopes from the configuration.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no scope, or if a scope is not a scope-token.
    pub fn try_any<K>(scopes: impl OneOrMany<str, K>) -> Result<Self, ConfigError> {
        Ok(Self { scopes: required_scopes(scopes)?, mode: Mode::Any })
    }

    /// Also accepts the scopes that imply a required scope in this hierarchy.
    ///
    /// By default, no scope implies another.
    pub fn hierarchy(self, hierarchy: &ScopeHierarchy) -> Self {
        let with_implied_by = |scope: &str| RequiredScope {
            scope: Scope::new(scope.into()),
            implied_by: hierarchy.implied_by(scope).iter().cloned().map(Scope::new).collect(),
        };
        Self { scopes: self.names().map(with_implied_by).collect(), ..self }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.scopes.iter().map(|required| required.scope.as_str())
    }
}

impl RequiredScope {
    fn is_granted_by(&self, granted: &Scopes) -> bool {
        granted.contains_hashed(&self.scope) || self.is_implied_by(granted)
    }

    #[inline(never)] // most scopes are not implied, and `evaluate` is faster without this code
    fn is_implied_by(&self, granted: &Scopes) -> bool {
        self.implied_by.iter().any(|scope| granted.contains_hashed(scope))
    }
}

impl fmt::Display for RequiredScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scope.as_str())?;
        if self.implied_by.is_empty() {
            return Ok(());
        }
        f.write_str(" (or ")?;
        write_list(self.implied_by.iter().map(Scope::as_str), f)?;
        f.write_str(")")
    }
}

impl Policy for RequireScopes {
    fn evaluate(&self, caller: &Principal, _: &Parts) -> Decision {
        let granted = caller.scopes();
        let mut required = self.scopes.iter();
        let allowed = match self.mode {
            Mode::All => required.all(|required| required.is_granted_by(granted)),
            Mode::Any => required.any(|required| required.is_granted_by(granted)),
        };
        if allowed {
            return Decision::ready(Ok(()));
        }
        Decision::ready(Err(Denial::insufficient_scope(self.names())))
    }

    fn requirements(&self, _: &Parts) -> Requirements {
        Requirements::scopes(self.names())
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.mode, self.scopes.len()) {
            (_, 1) => "scope ",
            (Mode::All, _) => "scopes ",
            (Mode::Any, _) => "any of the scopes ",
        })?;
        write_list(&*self.scopes, f)
    }
}

policy_layer!(RequireScopes);

fn required_scopes<K>(scopes: impl OneOrMany<str, K>) -> Result<Arc<[RequiredScope]>, ConfigError> {
    let scopes: Vec<Box<str>> = scopes.values().map(|scope| scope.as_ref().into()).collect();
    if scopes.is_empty() {
        return Err(ConfigError::missing(
            "no scope: name at least one scope, or remove the policy",
        ));
    }
    check_scopes(&scopes)?;
    Ok(scopes
        .into_iter()
        .map(|scope| RequiredScope { scope: Scope::new(scope), implied_by: Box::default() })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_scope_is_a_config_error() {
        for scope in ["", "two scopes", "quo\"te", "back\\slash", "ümlaut", "line\n"] {
            assert!(RequireScopes::try_all([scope]).is_err(), "{scope:?}");
            assert!(RequireScopes::try_any(["fine", scope]).is_err(), "{scope:?}");
        }
        assert!(RequireScopes::try_any([""; 0]).is_err());
        assert!(RequireScopes::try_all(["https://example.com/orders.read"]).is_ok());
    }
}
