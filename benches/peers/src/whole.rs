//! Whole requests: two scopes and a role are required, and the handler uses six claims.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
};

use http::{Request, Response, StatusCode};
use serde::Deserialize;

pub(crate) const SCOPES: [&str; 2] = ["orders:read", "orders:write"];
pub(crate) const ROLE: &str = "user";

/// The claims of the application.
#[derive(Clone, Debug, Deserialize)]
#[allow(dead_code)] // A handler would read them.
pub(crate) struct User {
    pub(crate) sub: String,
    pub(crate) exp: u64,
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) scope: String,
    pub(crate) roles: Vec<String>,
}

impl User {
    /// The check that an application writes by hand if a crate has no policies.
    pub(crate) fn is_allowed(&self) -> bool {
        let has_scope = |required: &&str| self.scope.split(' ').any(|scope| scope == *required);
        SCOPES.iter().all(has_scope) && self.roles.iter().any(|role| role == ROLE)
    }
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
    if !user.is_allowed() {
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
