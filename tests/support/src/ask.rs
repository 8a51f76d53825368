//! Asks an authenticator about one `Authorization` field, with no server around it.

use std::error::Error;

use futures_util::FutureExt;
use http::{Request, header::AUTHORIZATION};
use tower_auth::{Authenticator, JwtAuth, Principal, Rejection, RejectionKind, jwt::TokenError};

pub fn ask<A>(authenticator: &A, authorization: &str) -> Option<Result<Principal, Rejection>>
where
    A: Authenticator,
{
    let request = Request::builder().header(AUTHORIZATION, authorization).body(()).unwrap();
    let answer = authenticator.authenticate(&request.into_parts().0)?;
    Some(answer.now_or_never().expect("it answers at once"))
}

/// What becomes of a bearer token: its principal, or the reason that only the operator gets.
pub fn bearer(tokens: &JwtAuth, token: &str) -> Result<Principal, TokenError> {
    ask(tokens, &format!("Bearer {token}")).unwrap().map_err(|rejection| {
        assert_eq!(rejection.kind(), RejectionKind::InvalidCredentials);
        let reason = rejection.source().and_then(|reason| reason.downcast_ref());
        TokenError::clone(reason.expect("a token error"))
    })
}
