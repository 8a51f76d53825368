//! The 403 layer: decides what a known caller may do.
//!
//! ```
//! # use axum::{Router, routing::get};
//! use tower_auth::{Policy, RequireRoles, RequireScopes, policy_fn};
//!
//! let policy = RequireScopes::all(["orders:read"])
//!     .and(RequireRoles::any(["clerk"]).or(RequireRoles::any(["auditor"])))
//!     .and(policy_fn("not on Sundays", |_, _| Ok(())));
//! assert_eq!(
//!     policy.to_string(),
//!     "((scope orders:read and (role clerk or role auditor)) and not on Sundays)",
//! );
//! # let _: Router = Router::new()
//!     .route("/orders", get(|| async { "orders" }).layer(policy))
//! # ;
//! ```
//!
//! | policy | lets a caller through |
//! | --- | --- |
//! | [`RequireScopes`] | with all of these scopes, or any; with a [hierarchy](ScopeHierarchy) where there is one |
#![cfg_attr(
    feature = "jwt",
    doc = "| [`RequireRoles`], [`RequireClaim`] | with a role, or with a claim that says this |"
)]
#![cfg_attr(
    feature = "jwt",
    doc = "| [`RequireAuthentication`] | who logged in this way, or not long ago (RFC 9470) |"
)]
//! | [`RequireIssuer`], [`RequireSubject`] | of this issuer; with this name, or the one that the request is about |
//! | [`policy_fn`] | of whom a closure thinks well |
//! | [`public`] | whoever it is, also when nobody knows |
//! | [`and`](Policy::and), [`or`](Policy::or), [`not`](Policy::not) | as the policies in it do |
//! | [`Methods`], [`Routes`] | as the policy of its method or path does |
//!
//! Each is a [`Layer`](tower_layer::Layer), too. What has to ask somebody else first, such as a database, is
//! an [`AsyncPolicy`].

mod asynchronous;
#[cfg(feature = "jwt")]
mod authentication;
#[cfg(feature = "jwt")]
mod claim;
mod combine;
mod denial;
mod hierarchy;
mod identity;
mod layer;
mod methods;
mod policy_fn;
mod public;
#[cfg(feature = "jwt")]
mod roles;
mod routes;
mod scope;
mod service;

use std::{any, fmt, sync::Arc};

use http::request::Parts;

#[cfg(feature = "jwt")]
pub(crate) use self::scope::check_scopes;
pub use self::{
    asynchronous::{Async, AsyncPolicy, AsyncResponseFuture},
    combine::{And, Not, Or},
    denial::Denial,
    hierarchy::ScopeHierarchy,
    identity::{RequireIssuer, RequireSubject},
    layer::AuthorizeLayer,
    methods::Methods,
    policy_fn::{PolicyFn, policy_fn},
    public::{Public, public},
    routes::Routes,
    scope::RequireScopes,
    service::Authorize,
};
#[cfg(feature = "jwt")]
pub use self::{authentication::RequireAuthentication, claim::RequireClaim, roles::RequireRoles};
use crate::Principal;

/// Decides what a known caller may do.
///
/// It is asked for every request that carries a [`Principal`], and knows neither tokens nor responses.
/// Most are put together of those in [`authorize`](crate::authorize), and a closure is one by
/// [`policy_fn`]. A type of yours can be one, too:
///
/// ```
/// use http::request::Parts;
/// use tower_auth::{AuthorizeLayer, Denial, Policy, Principal};
///
/// struct OnlyAlice;
///
/// impl Policy for OnlyAlice {
///     fn evaluate(&self, caller: &Principal, _: &Parts) -> Result<(), Denial> {
///         match caller.subject() {
///             "alice" => Ok(()),
///             _ => Err(Denial::forbidden()),
///         }
///     }
/// }
///
/// let layer = AuthorizeLayer::new(OnlyAlice);
/// ```
#[diagnostic::on_unimplemented(note = "a closure is a policy by `policy_fn(name, closure)`")]
pub trait Policy {
    /// Whether this caller may send this request.
    ///
    /// # Errors
    ///
    /// A [`Denial`], where it may not.
    fn evaluate(&self, principal: &Principal, head: &Parts) -> Result<(), Denial>;

    /// The scopes that it asks for in such a request, whether the caller has them or not. A refusal that
    /// a new token could mend names them all. None by default.
    fn required_scopes(&self, head: &Parts) -> Vec<&str> {
        let _ = head;
        Vec::new()
    }

    /// Whether such a request may pass though nobody knows who sent it, without being asked further.
    /// Never by default.
    ///
    /// # Security
    ///
    /// What says yes here is open to all. [`public`] does; wrap it rather than write your own.
    fn is_public(&self, head: &Parts) -> bool {
        let _ = head;
        false
    }

    /// Says in a few words what it asks for, for logs and lists of routes: the name of the type by
    /// default.
    ///
    /// # Errors
    ///
    /// If the formatter fails.
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(any::type_name::<Self>())
    }

    /// Both have to let the caller through. A refusal says what either asks for, at once.
    fn and<P: Policy>(self, other: P) -> And<Self, P>
    where
        Self: Sized,
    {
        And::new(self, other)
    }

    /// One of the two has to let the caller through.
    fn or<P: Policy>(self, other: P) -> Or<Self, P>
    where
        Self: Sized,
    {
        Or::new(self, other)
    }

    /// Refuses whom this lets through, with a plain 403, and lets through whom it refuses.
    fn not(self) -> Not<Self>
    where
        Self: Sized,
    {
        Not::new(self)
    }
}

/// For a policy that is chosen while the program runs: `Box<dyn Policy + Send + Sync>`.
impl<P: Policy + ?Sized> Policy for Box<P> {
    fn evaluate(&self, principal: &Principal, head: &Parts) -> Result<(), Denial> {
        (**self).evaluate(principal, head)
    }

    fn required_scopes(&self, head: &Parts) -> Vec<&str> {
        (**self).required_scopes(head)
    }

    fn is_public(&self, head: &Parts) -> bool {
        (**self).is_public(head)
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).describe(f)
    }
}

/// For a policy that several routes share.
impl<P: Policy + ?Sized> Policy for Arc<P> {
    fn evaluate(&self, principal: &Principal, head: &Parts) -> Result<(), Denial> {
        (**self).evaluate(principal, head)
    }

    fn required_scopes(&self, head: &Parts) -> Vec<&str> {
        (**self).required_scopes(head)
    }

    fn is_public(&self, head: &Parts) -> bool {
        (**self).is_public(head)
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).describe(f)
    }
}

/// Writes a policy as it describes itself.
pub(crate) struct Described<'a, P: ?Sized>(pub(crate) &'a P);

impl<P: Policy + ?Sized> fmt::Display for Described<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.describe(f)
    }
}

/// Makes a policy of this crate a layer, and writes it as it describes itself.
macro_rules! policy_layer {
    ($policy:ty $(, $parameter:ident)*) => {
        impl<S $(, $parameter: Clone)*> tower_layer::Layer<S> for $policy {
            type Service = crate::authorize::Authorize<S, Self>;

            fn layer(&self, inner: S) -> Self::Service {
                crate::authorize::AuthorizeLayer::new(self.clone()).layer(inner)
            }
        }

        impl<$($parameter: crate::Policy),*> std::fmt::Display for $policy {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                crate::Policy::describe(self, f)
            }
        }
    };
}
use policy_layer;

/// Writes what there is one of as it is, and more between words: `a`, `any of a, b`.
fn list<I>(items: I, f: &mut fmt::Formatter<'_>) -> fmt::Result
where
    I: IntoIterator,
    I::Item: fmt::Display,
{
    for (position, item) in items.into_iter().enumerate() {
        let comma = if position == 0 { "" } else { ", " };
        write!(f, "{comma}{item}")?;
    }
    Ok(())
}
