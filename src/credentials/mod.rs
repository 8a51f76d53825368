//! Unverified credentials from the request head.

pub(crate) mod authorization;
#[cfg(feature = "jwt")]
pub(crate) mod cookie;
#[cfg_attr(not(any(feature = "basic", feature = "jwt")), allow(dead_code))]
pub(crate) mod cross_site;
#[cfg_attr(not(any(feature = "basic", feature = "jwt")), allow(dead_code))]
mod cross_site_error;
pub(crate) mod error;
#[cfg(feature = "jwt")]
pub(crate) mod location;
#[cfg(feature = "jwt")]
pub(crate) mod websocket_protocol;

#[cfg(feature = "jwt")]
pub use self::location::TokenLocation;
pub use self::{authorization::Credentials, error::CredentialsError};
