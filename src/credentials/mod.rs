//! Unverified credentials from the request head.

#[cfg_attr(not(any(feature = "basic", feature = "jwt")), allow(dead_code))]
pub(crate) mod accepted_hosts;
pub(crate) mod authorization;
#[cfg(feature = "jwt")]
pub(crate) mod cookie;
pub(crate) mod cookie_name;
#[cfg_attr(not(any(feature = "basic", feature = "jwt")), allow(dead_code))]
pub(crate) mod cross_site;
#[cfg_attr(not(any(feature = "basic", feature = "jwt")), allow(dead_code))]
mod cross_site_error;
pub(crate) mod error;
#[cfg(feature = "jwt")]
pub(crate) mod header_token;
#[cfg(feature = "jwt")]
pub(crate) mod locate;
#[cfg(feature = "jwt")]
pub(crate) mod location;
pub(crate) mod set_cookie;
#[cfg(feature = "jwt")]
pub(crate) mod source;
#[cfg(feature = "jwt")]
pub(crate) mod websocket_protocol;

#[cfg(feature = "jwt")]
pub use self::location::TokenLocation;
pub use self::{
    authorization::Credentials,
    error::CredentialsError,
    set_cookie::{SetCookie, SetCookieError},
};
