//! Bearer tokens (RFC 6750) and the choice of a validator by token issuer.

pub(crate) mod issuers;
#[cfg(feature = "jwks")]
pub(crate) mod tenants;
pub(crate) mod token;
