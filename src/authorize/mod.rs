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
#[derive(Clone, Debug)]
pub struct Denial {
    scopes: Option<Vec<Box<str>>>,
}

impl Denial {
    /// The caller may not do this.
    #[must_use]
    pub fn forbidden() -> Self {
        Self { scopes: None }
    }

    /// The caller needs these scopes, all of which are named, whether it holds some of them or not, so
    /// that a client can ask for them at once (RFC 6750 §3.1).
    pub fn insufficient_scope<I>(required: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Box<str>>,
    {
        Self { scopes: Some(required.into_iter().map(Into::into).collect()) }
    }

    /// The scopes that would do, where it is for want of those.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.scopes.iter().flatten().map(|scope| &**scope)
    }

    /// For callers whose scheme is Bearer, the challenge says what RFC 6750 §3.1 says; other schemes
    /// have no word for a lack of authority, and a 403 does not need one. A scope that cannot be written
    /// there, as one that was made of the request may be, is left out with the others.
    fn into_rejection(self, principal: &Principal) -> Rejection {
        let Some(scopes) = &self.scopes else {
            return Rejection::new(RejectionKind::Forbidden).because(self);
        };
        let rejection = Rejection::new(RejectionKind::InsufficientScope);
        if principal.scheme() != Scheme::BEARER {
            return rejection.because(self);
        }
        let base = principal.challenge().cloned();
        let base = base.unwrap_or_else(|| Challenge::new(Scheme::BEARER));
        let base = base.with_param("error", "insufficient_scope").unwrap_or(base);
        let challenge = match scopes.join(" ") {
            scope if scope.is_empty() => base,
            scope => base.with_param("scope", &scope).unwrap_or(base),
        };
        rejection.with_challenge(challenge).because(self)
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scopes {
            Some(scopes) => write!(f, "the route asks for the scopes {scopes:?}"),
            None => f.write_str("the policy does not allow it"),
        }
    }
}

impl Error for Denial {}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(challenge: Option<Challenge>, scopes: &[&str]) -> (RejectionKind, Vec<String>) {
        let mut principal = Principal::builder("alice", Scheme::BEARER);
        if let Some(challenge) = challenge {
            principal = principal.challenge(challenge);
        }
        let denial = Denial::insufficient_scope(scopes.iter().copied());
        let rejection = denial.into_rejection(&principal.build());
        let challenges = rejection.challenges().map(|one| one.to_header_value());
        let challenges = challenges.map(|one| one.to_str().unwrap().to_owned()).collect();
        (rejection.kind(), challenges)
    }

    #[test]
    fn a_refusal_stays_one_whatever_its_scopes_are() {
        let kind = RejectionKind::InsufficientScope;
        let plain = r#"Bearer error="insufficient_scope""#;
        assert_eq!(refused(None, &["a", "b"]), (kind, vec![format!(r#"{plain}, scope="a b""#)]));
        // As a policy may make them of the request's path.
        assert_eq!(refused(None, &["file:/a\"b"]), (kind, vec![plain.into()]));
        assert_eq!(refused(None, &["file:/é"]), (kind, vec![plain.into()]));
        assert_eq!(refused(None, &[]), (kind, vec![plain.into()]));
        let odd = Challenge::new(Scheme::BEARER).with_param("scope", "x").unwrap();
        let odd = odd.with_param("error", "y").unwrap();
        assert_eq!(
            refused(Some(odd), &["a"]),
            (kind, vec![r#"Bearer scope="x", error="y""#.into()])
        );
    }
}
