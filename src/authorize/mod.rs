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
//! Each is a [`Layer`](tower_layer::Layer), too; one that has a policy of yours in it is where that is `Clone`, as an
//! `Arc` of it is. What has to ask somebody else first, such as a database, is
//! an [`AsyncPolicy`].

pub(crate) mod async_policy;
pub(crate) mod async_service;
pub(crate) mod combine;
pub(crate) mod denial;
pub(crate) mod describe;
pub(crate) mod layer;
pub(crate) mod policies;
pub(crate) mod policy;
pub(crate) mod requirements;
pub(crate) mod service;
pub(crate) mod tables;

#[cfg(feature = "jwt")]
pub use self::policies::{
    authentication::RequireAuthentication, claim::RequireClaim, roles::RequireRoles,
};
pub use self::{
    async_policy::{Async, AsyncPolicy},
    async_service::AuthorizeAsyncFuture,
    denial::Denial,
    layer::AuthorizeLayer,
    policies::{
        hierarchy::ScopeHierarchy,
        issuer::RequireIssuer,
        policy_fn::{PolicyFn, policy_fn},
        public::{Public, public},
        scopes::RequireScopes,
        subject::RequireSubject,
    },
    policy::{And, Not, Or, Policy},
    requirements::Requirements,
    service::Authorize,
    tables::{methods::Methods, routes::Routes},
};
