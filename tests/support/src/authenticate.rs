//! Passes one `Authorization` field to an authenticator, without a server.

use std::error::Error;

use futures_util::FutureExt;
use http::{Request, header::AUTHORIZATION};
use tower_auth::{Authenticator, JwtAuth, Principal, Rejection, RejectionKind, jwt::TokenError};

/// Authenticates a request with this `Authorization` value.
///
/// # Panics
///
/// If the authenticator is pending.
pub fn authenticate<A>(
    authenticator: &A,
    authorization: &str,
) -> Option<Result<Principal, Rejection>>
where
    A: Authenticator,
{
    let request = Request::builder().header(AUTHORIZATION, authorization).body(()).unwrap();
    let future = authenticator.authenticate(&request.into_parts().0)?;
    Some(future.now_or_never().expect("authentication is not pending").into_result())
}

/// Authenticates a bearer token. Returns the reason of a rejection, which callers never see.
pub fn authenticate_bearer(tokens: &JwtAuth, token: &str) -> Result<Principal, TokenError> {
    authenticate(tokens, &format!("Bearer {token}")).unwrap().map_err(|rejection| {
        assert_eq!(rejection.kind(), RejectionKind::InvalidCredentials);
        let reason = rejection.source().and_then(|reason| reason.downcast_ref());
        TokenError::clone(reason.expect("the source is a `TokenError`"))
    })
}
