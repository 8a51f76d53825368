//! Login with OAuth 2.0 and OpenID Connect: the authorization code flow with PKCE.

pub(crate) mod authorization_request;
mod backchannel;
mod build;
pub(crate) mod builder;
pub(crate) mod callback;
mod end_session;
mod id_token;
mod identify;
pub(crate) mod identity;
pub(crate) mod login;
pub(crate) mod login_error;
#[allow(clippy::module_inception)] // the type that the module is named after
pub(crate) mod oidc_login;
mod pending_login;
mod routes;
mod userinfo;

pub use self::{
    builder::OidcLoginBuilder,
    identity::{Identity, ProviderToken},
    login::Login,
    login_error::{LoginError, LoginErrorKind},
    oidc_login::OidcLogin,
    routes::LoginRoute,
};
