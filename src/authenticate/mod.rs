//! Authentication: identifies the caller of a request, and rejects requests with invalid or missing
//! credentials (401).

pub(crate) mod any_of;
pub(crate) mod authenticator;
pub(crate) mod cors;
pub(crate) mod layer;
pub(crate) mod outcome;
pub(crate) mod service;

pub use self::{
    outcome::Outcome,
    service::{Authenticate, AuthenticateFuture},
};
// Documented at the crate root.
#[doc(no_inline)]
pub use self::{
    any_of::{AnyOf, any_of},
    authenticator::Authenticator,
    layer::AuthenticateLayer,
    outcome::Authentication,
};
