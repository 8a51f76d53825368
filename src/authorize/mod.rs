//! Authorization: decides what an authenticated caller may do.
//!
//! A [`Policy`] is an authorization rule. [`AuthorizeLayer`] evaluates a policy for each
//! authenticated request. It rejects the requests that the policy does not allow, in most cases
//! with 403.
//!
//! ```
//! # use axum::{Router, routing::get};
//! use tower_auth::{Denial, Policy, RequireRoles, RequireScopes, policy_fn};
//!
//! let policy = RequireScopes::all(["orders:read"])
//!     .and(RequireRoles::any(["clerk"]).or(RequireRoles::any(["auditor"])))
//!     .and(policy_fn("version 2", |_, head| match head.uri.path().starts_with("/v2/") {
//!         true => Ok(()),
//!         false => Err(Denial::forbidden()),
//!     }));
//! assert_eq!(
//!     policy.to_string(),
//!     "((scope orders:read and (role clerk or role auditor)) and version 2)",
//! );
//! # let _: Router = Router::new()
//!     .route("/orders", get(|| async { "orders" }).layer(policy))
//! # ;
//! ```
//!
//! | policy | allows callers |
//! | --- | --- |
//! | [`RequireScopes`] | with all or any of these scopes, optionally with a [`ScopeHierarchy`] |
#![cfg_attr(
    feature = "jwt",
    doc = "| [`RequireRoles`], [`RequireClaim`] | with all or any roles; with a claim value |"
)]
#![cfg_attr(
    feature = "jwt",
    doc = "| [`RequireAuthentication`] | with an authentication context class, or a recent login (RFC 9470) |"
)]
//! | [`RequireIssuer`] | of these issuers |
//! | [`RequireSubject`] | with the expected subject |
//! | [`policy_fn`] | for whom a closure returns `Ok` |
//! | [`public`] | of all kinds, even anonymous ones |
//! | [`and`](Policy::and), [`or`](Policy::or), [`not`](Policy::not) | that the combination allows |
//! | [`Methods`], [`Routes`] | that the policy of the method or path allows |
//!
//! Each of these policies is also a [`Layer`](tower_layer::Layer). A combination that contains
//! your own policy is a layer if your policy is `Clone`; if it is not, wrap it in an `Arc`.
//!
//! A policy decides now or later: a [`Decision`] is ready, or a future that for example queries a
//! database. Both kinds can be combined. A decision that is pending is awaited only if the result
//! depends on it.

pub(crate) mod combine;
#[cfg(test)]
mod combine_tests;
pub(crate) mod decision;
pub(crate) mod denial;
pub(crate) mod describe;
pub(crate) mod layer;
pub(crate) mod policies;
pub(crate) mod policy;
pub(crate) mod requirements;
pub(crate) mod service;
pub(crate) mod tables;

#[cfg(feature = "jwt")]
pub use self::policies::claim::RequireClaim;
// Documented at the crate root.
#[cfg(feature = "jwt")]
#[doc(no_inline)]
pub use self::policies::{authentication::RequireAuthentication, roles::RequireRoles};
#[doc(no_inline)]
pub use self::{
    decision::Decision,
    denial::Denial,
    layer::AuthorizeLayer,
    policies::{policy_fn::policy_fn, scopes::RequireScopes},
    policy::Policy,
};
pub use self::{
    policies::{
        hierarchy::ScopeHierarchy,
        issuer::RequireIssuer,
        policy_fn::PolicyFn,
        public::{Public, public},
        subject::RequireSubject,
    },
    policy::{And, Not, Or},
    requirements::Requirements,
    service::{Authorize, AuthorizeFuture},
    tables::{methods::Methods, routes::Routes},
};
