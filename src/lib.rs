//! lib
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

pub mod authenticate;
pub mod authorize;
#[cfg(feature = "basic")]
pub mod basic;
mod challenge;
pub mod clock;
mod config_error;
pub mod credentials;
#[cfg(feature = "axum")]
pub mod extract;
#[cfg(feature = "jwt")]
pub mod jwt;
mod principal;
mod rejection;
pub mod respond;
mod scheme;

#[cfg(feature = "basic")]
pub use self::basic::BasicAuth;
#[cfg(feature = "jwt")]
pub use self::jwt::JwtAuth;
pub use self::{
    authenticate::{AuthenticateLayer, Authentication, Authenticator, any_of},
    authorize::{AuthorizeLayer, Denial, Policy, RequireScopes},
    challenge::{Challenge, Challenges},
    config_error::ConfigError,
    principal::{Principal, PrincipalBuilder, Scopes},
    rejection::{Rejection, RejectionKind},
    scheme::Scheme,
};
