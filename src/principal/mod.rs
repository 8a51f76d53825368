//! The authenticated caller.

pub(crate) mod anonymous;
pub(crate) mod caller;
#[cfg(feature = "jwt")]
pub(crate) mod claims;
pub(crate) mod map_principal;
pub(crate) mod principal;
pub(crate) mod scopes;
pub(crate) mod shared_text;

#[cfg(feature = "jwt")]
pub use self::claims::ClaimsError;
pub use self::{
    map_principal::MapPrincipal,
    principal::{Principal, PrincipalBuilder},
    scopes::Scopes,
};
