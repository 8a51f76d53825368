use http::{HeaderValue, request::Parts};

use super::{login_error::LoginError, oidc_login::State};
use crate::session::return_to::ReturnTo;

/// What a request to log in asks for.
#[derive(Default)]
pub(super) struct LoginRequest {
    pub(super) return_to: ReturnTo,
    /// The login must have one of these classes, separated by spaces (a step-up).
    pub(super) acr_values: Option<String>,
    /// The login must be this recent, in seconds (a step-up).
    pub(super) max_age: Option<u64>,
    pub(super) login_hint: Option<String>,
    /// The id of the current session, which the login replaces.
    pub(super) replaces: Option<String>,
}

/// A login that has begun.
pub(super) struct Begun {
    /// The URL of the provider to redirect to.
    pub(super) location: String,
    /// The values of `Set-Cookie`.
    pub(super) cookies: Vec<HeaderValue>,
}

impl State {
    /// Begins a login.
    pub(super) async fn begin(
        &self,
        request: LoginRequest,
        head: &Parts,
    ) -> Result<Begun, LoginError> {
        let _ = (request, head);
        todo!()
    }
}
