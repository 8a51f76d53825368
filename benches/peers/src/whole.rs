//! Whole requests: two scopes and a role are required, and the handler uses six claims.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
};

use http::{Request, Response, StatusCode};
use tower_auth_test_support::token::User;

pub(crate) const SCOPES: [&str; 2] = ["orders:read", "orders:write"];
pub(crate) const ROLE: &str = "user";

/// The check that an application writes by hand if a crate has no policies.
pub(crate) fn is_allowed(user: &User) -> bool {
    let has_scope = |required: &&str| user.scope.split(' ').any(|scope| scope == *required);
    SCOPES.iter().all(has_scope) && user.roles.iter().any(|role| role == ROLE)
}

/// A handler for crates that insert the claims into the extensions, after the check.
pub(crate) fn handler<B: Default>(request: Request<()>) -> Ready<Result<Response<B>, Infallible>> {
    black_box(request.extensions().get::<User>().unwrap());
    respond(StatusCode::OK)
}

/// A handler for crates without a check.
pub(crate) fn checking_handler<B: Default>(
    request: Request<()>,
) -> Ready<Result<Response<B>, Infallible>> {
    let user = request.extensions().get::<User>().unwrap();
    if !is_allowed(user) {
        return respond(StatusCode::FORBIDDEN);
    }
    black_box(user);
    respond(StatusCode::OK)
}

pub(crate) fn respond<B: Default>(status: StatusCode) -> Ready<Result<Response<B>, Infallible>> {
    let mut response = Response::new(B::default());
    *response.status_mut() = status;
    ready(Ok(response))
}
