use std::{fmt, sync::Arc};

use http::request::Parts;

use super::hierarchy::ScopeHierarchy;
use crate::header::grammar::check_scopes;
use crate::{
    authorize::{
        denial::Denial,
        describe::{list, policy_layer},
        policy::Policy,
        requirements::Requirements,
    },
    config_error::ConfigError,
    principal::{Principal, Scopes, scopes::Scope},
};

/// Asks for scopes, on a router or on one route.
///
/// It is a layer, and a [`Policy`] where more is to be said: with [`and`](Policy::and), say, or in
/// [`AuthorizeLayer::new`](crate::AuthorizeLayer::new).
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
/// A scope is compared whole and with regard to case. A refusal is a 403 that names all scopes which
/// the route asks for (RFC 6750 §3.1). It belongs inside an
/// [`AuthenticateLayer`](crate::AuthenticateLayer); without one, every request is answered with 500.
#[derive(Clone)]
#[must_use]
pub struct RequireScopes {
    scopes: Arc<[Required]>,
    needs: Needs,
}

struct Required {
    scope: Scope,
    /// Scopes that have this one in them.
    holders: Box<[Scope]>,
}

#[derive(Clone, Copy)]
enum Needs {
    All,
    Any,
}

impl RequireScopes {
    /// The caller needs every one of these scopes.
    ///
    /// # Panics
    ///
    /// If there is none, or if one is no scope-token of RFC 6749 §3.3. Where scopes are not written in
    /// the program, [`try_all`](Self::try_all) gives the error instead.
    #[track_caller]
    #[allow(clippy::panic)] // like a router's malformed path: found at the first start
    pub fn all<I>(scopes: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Box<str>>,
    {
        Self::try_all(scopes).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The caller needs at least one of these scopes.
    ///
    /// # Panics
    ///
    /// As [`all`](Self::all) does; [`try_any`](Self::try_any) does not.
    #[track_caller]
    #[allow(clippy::panic)] // like a router's malformed path: found at the first start
    pub fn any<I>(scopes: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Box<str>>,
    {
        Self::try_any(scopes).unwrap_or_else(|error| panic!("{error}"))
    }

    /// [`all`](Self::all), for scopes that are read from somewhere.
    ///
    /// # Errors
    ///
    /// If there is no scope, or if one is no scope-token.
    pub fn try_all<I>(scopes: I) -> Result<Self, ConfigError>
    where
        I: IntoIterator,
        I::Item: Into<Box<str>>,
    {
        Ok(Self { scopes: checked(scopes)?, needs: Needs::All })
    }

    /// [`any`](Self::any), for scopes that are read from somewhere.
    ///
    /// # Errors
    ///
    /// If there is no scope, or if one is no scope-token.
    pub fn try_any<I>(scopes: I) -> Result<Self, ConfigError>
    where
        I: IntoIterator,
        I::Item: Into<Box<str>>,
    {
        Ok(Self { scopes: checked(scopes)?, needs: Needs::Any })
    }

    /// Takes scopes that hold a required one for it, too. Without this call, none does.
    pub fn hierarchy(self, hierarchy: &ScopeHierarchy) -> Self {
        let with_holders = |scope: &str| Required {
            scope: Scope::new(scope.into()),
            holders: hierarchy.holders(scope).iter().cloned().map(Scope::new).collect(),
        };
        Self { scopes: self.names().map(with_holders).collect(), ..self }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.scopes.iter().map(|required| required.scope.as_str())
    }
}

impl Required {
    fn is_in(&self, granted: &Scopes) -> bool {
        granted.contains_hashed(&self.scope)
            || self.holders.iter().any(|holder| granted.contains_hashed(holder))
    }
}

impl fmt::Display for Required {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scope.as_str())?;
        if self.holders.is_empty() {
            return Ok(());
        }
        f.write_str(" (or ")?;
        list(self.holders.iter().map(Scope::as_str), f)?;
        f.write_str(")")
    }
}

impl Policy for RequireScopes {
    fn evaluate(&self, principal: &Principal, _: &Parts) -> Result<(), Denial> {
        let granted = principal.scopes();
        let mut required = self.scopes.iter();
        let suffices = match self.needs {
            Needs::All => required.all(|required| required.is_in(granted)),
            Needs::Any => required.any(|required| required.is_in(granted)),
        };
        if suffices {
            return Ok(());
        }
        Err(Denial::insufficient_scope(self.names()))
    }

    fn requirements(&self, _: &Parts) -> Requirements {
        Requirements::scopes(self.names())
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.needs, self.scopes.len()) {
            (_, 1) => "scope ",
            (Needs::All, _) => "scopes ",
            (Needs::Any, _) => "any of the scopes ",
        })?;
        list(&*self.scopes, f)
    }
}

policy_layer!(RequireScopes);

fn checked<I>(scopes: I) -> Result<Arc<[Required]>, ConfigError>
where
    I: IntoIterator,
    I::Item: Into<Box<str>>,
{
    let scopes: Vec<Box<str>> = scopes.into_iter().map(Into::into).collect();
    if scopes.is_empty() {
        return Err(ConfigError::new(
            "no scope is required: name at least one, or leave the layer out",
        ));
    }
    check_scopes(&scopes)?;
    Ok(scopes
        .into_iter()
        .map(|scope| Required { scope: Scope::new(scope), holders: Box::default() })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_scope_is_found_while_building() {
        for odd in ["", "two scopes", "quo\"te", "back\\slash", "ümlaut", "line\n"] {
            assert!(RequireScopes::try_all([odd]).is_err(), "{odd:?}");
            assert!(RequireScopes::try_any(["fine", odd]).is_err(), "{odd:?}");
        }
        assert!(RequireScopes::try_any([""; 0]).is_err());
        assert!(RequireScopes::try_all(["https://example.com/orders.read"]).is_ok());
    }
}
