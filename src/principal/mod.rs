//! The authenticated caller.

pub(crate) mod anonymous;
pub(crate) mod builder;
pub(crate) mod caller;
#[cfg(feature = "jwt")]
pub(crate) mod claim_deserializer;
#[cfg(feature = "jwt")]
pub(crate) mod claims_deserializer;
#[cfg(feature = "jwt")]
pub(crate) mod claims_error;
#[cfg(feature = "jwt")]
pub(crate) mod claims_set;
#[cfg(feature = "tokio")]
mod expired;
pub(crate) mod map_principal;
pub(crate) mod principal;
pub(crate) mod scopes;
#[cfg(feature = "jwt")]
pub(crate) mod typed_claims;
pub(crate) mod verified;

#[cfg(feature = "jwt")]
pub use self::claims_error::ClaimsError;
pub use self::{
    builder::PrincipalBuilder,
    map_principal::MapPrincipal,
    principal::Principal,
    scopes::{Scopes, ScopesIter},
};
