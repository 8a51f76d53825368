//! The Bearer scheme (RFC 6750).

pub(crate) mod issuers;
#[cfg(feature = "jwks")]
pub(crate) mod tenants;
pub(crate) mod token;
