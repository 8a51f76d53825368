//! Bearer tokens of any kind (RFC 6750).
//!
//! [`BearerAuth`] authenticates requests with a [`TokenVerifier`]. For JWTs, use
//! [`JwtAuth`](crate::JwtAuth), a `BearerAuth` with the verifier for JWTs. For tokens of another
//! kind, such as opaque tokens, or to add a check to another verifier, implement [`TokenVerifier`].
//!
//! # Security
//!
//! Anyone who has a bearer token can use it until it expires. Deploy TLS in front of the service.

mod ambient;
pub(crate) mod bearer_auth;
mod confirm;
pub(crate) mod issuers;
pub(crate) mod settings;
#[cfg(feature = "jwks")]
mod tenant_registry;
#[cfg(feature = "jwks")]
pub(crate) mod tenant_resolver;
#[cfg(feature = "jwks")]
pub(crate) mod tenants;
pub(crate) mod verifier;

pub use self::{
    bearer_auth::BearerAuth,
    verifier::{TokenVerifier, Verification},
};
