//! The login form, and logging out.

use std::{error::Error, sync::Arc};

use axum::{
    Form,
    extract::State,
    http::{StatusCode, header::SET_COOKIE, request::Parts},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use tower_auth::{
    BasicAuth, Rejection, RejectionKind,
    credentials::SetCookie,
    password::{HashVerifier, HashedUsers, PasswordHash},
    throttle::Throttle,
    transport::Forwarded,
};

use crate::{app::COOKIE, token::Issuer};

/// Checks passwords and issues tokens.
pub struct Login {
    users: BasicAuth<HashVerifier<HashedUsers>>,
    issuer: Issuer,
    cookie: SetCookie,
}

#[derive(Deserialize)]
pub struct LoginForm {
    user: String,
    password: String,
}

impl Login {
    pub fn new(forwarded: Forwarded, issuer: Issuer) -> Result<Self, Box<dyn Error>> {
        // A real service has a store of hashes, and never sees these passwords in its code.
        let users = HashedUsers::new([
            ("alice", PasswordHash::new("correct horse")?.as_str()),
            ("mallory", PasswordHash::new("battery staple")?.as_str()),
        ])?;
        // Used only for its `verify`, with the throttle: no route accepts HTTP Basic.
        let users = BasicAuth::new("notes", HashVerifier::new(users))?
            .throttle(Throttle::new(forwarded))?;
        Ok(Self { users, issuer, cookie: SetCookie::new(COOKIE)? })
    }
}

/// Answers a form with a user and a password. Sets the cookie if they are valid.
pub async fn log_in(
    State(login): State<Arc<Login>>,
    head: Parts,
    Form(form): Form<LoginForm>,
) -> Result<impl IntoResponse, Response> {
    let verified = login.users.verify(&form.user, &form.password, &head).await;
    let caller = verified.map_err(reject)?;
    let (token, expires_at) = login.issuer.token(caller.subject());
    let cookie = login.cookie.header(&token, expires_at).map_err(|error| {
        Rejection::new(RejectionKind::Misconfigured).because(error).into_response()
    })?;
    Ok(([(SET_COOKIE, cookie)], Redirect::to("/")))
}

/// Returns the response for a login that failed: 422 if the password is wrong, 429 if there were
/// too many attempts, 503 during an outage.
fn reject(rejection: Rejection) -> Response {
    if rejection.kind() == RejectionKind::InvalidCredentials {
        // The rejection is a 401 with a Basic challenge, for which a browser shows a dialog.
        return (StatusCode::UNPROCESSABLE_ENTITY, "wrong user or password").into_response();
    }
    rejection.into_response()
}

/// Removes the cookie, also if its token is invalid. The token remains valid until it expires.
pub async fn log_out(State(login): State<Arc<Login>>) -> impl IntoResponse {
    ([(SET_COOKIE, login.cookie.expired())], Redirect::to("/"))
}
