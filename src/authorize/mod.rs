//! The 403 layer: decides what a known caller may do.

mod layer;
mod scope;
mod service;

use std::{error::Error, fmt};

use http::request::Parts;

pub use self::{
    layer::AuthorizeLayer,
    scope::RequireScopes,
    service::{Authorize, ResponseFuture},
};
use crate::{Challenge, Principal, Rejection, RejectionKind, Scheme};

/// Decides what a known caller may do.
///
/// It is asked for every request that carries a [`Principal`], and knows neither tokens nor responses.
/// A closure is a policy:
///
/// ```
/// # use axum::{Router, routing::get};
/// use http::request::Parts;
/// use tower_auth::{AuthorizeLayer, Denial, Principal};
///
/// let only_alice = |caller: &Principal, _: &Parts| match caller.subject() {
///     "alice" => Ok(()),
///     _ => Err(Denial::forbidden()),
/// };
/// # let _: Router = Router::new()
///     .route("/diary", get(|| async { "dear diary" }).layer(AuthorizeLayer::new(only_alice)))
/// # ;
/// ```
pub trait Policy {
    /// Whether this caller may send this request.
    ///
    /// # Errors
    ///
    /// A [`Denial`], where it may not.
    fn evaluate(&self, principal: &Principal, head: &Parts) -> Result<(), Denial>;
}

impl<F> Policy for F
where
    F: Fn(&Principal, &Parts) -> Result<(), Denial>,
{
    fn evaluate(&self, principal: &Principal, head: &Parts) -> Result<(), Denial> {
        self(principal, head)
    }
}

/// A policy's refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The scopes that would do, all of them, delimited by spaces.
    scope: Option<Box<str>>,
}

impl Denial {
    /// The caller may not do this.
    #[must_use]
    pub fn forbidden() -> Self {
        Self { scope: None }
    }

    /// The caller needs these scopes, all of which are named, whether it holds some of them or not, so
    /// that a client can ask for them at once (RFC 6750 §3.1).
    pub fn insufficient_scope<I>(required: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut scope = String::new();
        for name in required {
            scope.push_str(if scope.is_empty() { "" } else { " " });
            scope.push_str(name.as_ref());
        }
        Self { scope: Some(scope.into()) }
    }

    /// For callers whose scheme is Bearer, the challenge says what RFC 6750 §3.1 says; other schemes
    /// have no word for a lack of authority, and a 403 does not need one.
    fn into_rejection(self, principal: &Principal) -> Rejection {
        let Some(scope) = self.scope.as_deref() else {
            return Rejection::new(RejectionKind::Forbidden).because(self);
        };
        let rejection = Rejection::new(RejectionKind::InsufficientScope);
        let challenge = (principal.scheme() == Scheme::BEARER).then(|| {
            let base = principal.challenge().cloned();
            let base = base.unwrap_or_else(|| Challenge::new(Scheme::BEARER));
            base.with_param("error", "insufficient_scope")?.with_param("scope", scope)
        });
        match challenge {
            Some(Ok(challenge)) => rejection.challenge(challenge).because(self),
            Some(Err(fault)) => Rejection::new(RejectionKind::Misconfigured).because(fault),
            None => rejection.because(self),
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scope {
            Some(scope) => write!(f, "the route asks for the scopes {scope:?}"),
            None => f.write_str("the policy does not allow it"),
        }
    }
}

impl Error for Denial {}
