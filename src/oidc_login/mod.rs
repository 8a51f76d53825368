//! Login with OAuth 2.0 and OpenID Connect: the authorization code flow with PKCE.

pub(crate) mod login_error;

pub use self::login_error::{LoginError, LoginErrorKind};
