//! Authentication: identifies the caller of a request, and rejects requests with invalid or missing
//! credentials (401).

pub(crate) mod any_of;
pub(crate) mod authentication;
pub(crate) mod authenticator;
pub(crate) mod cors;
pub(crate) mod layer;
pub(crate) mod service;

// Documented at the crate root.
pub use self::{
    any_of::AnyOfFuture,
    service::{Authenticate, AuthenticateFuture},
};
#[doc(no_inline)]
pub use self::{
    any_of::{AnyOf, any_of},
    authentication::Authentication,
    authenticator::Authenticator,
    layer::AuthenticateLayer,
};
