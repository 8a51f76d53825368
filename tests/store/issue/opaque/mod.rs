//! Access tokens that are random texts, whose claims are in the store.

mod bound;
mod dump;
mod faults;
mod forms;
mod life_cycle;
mod redis;
mod secrets;
mod settings;

use std::sync::LazyLock;

use tokio::runtime::Runtime;
use tower_auth::{
    JwtAuth, Principal, Rejection, RejectionKind,
    issue::{TokenIssuer, TokenPair},
    jwt::TokenError,
};

use super::fixture::Fixture;
use crate::revocation::tokens::reason;

fn issuer(fixture: &Fixture) -> TokenIssuer {
    fixture.builder().opaque_access_tokens().build().unwrap()
}

fn verify(issuer: &TokenIssuer, token: &str) -> Result<Principal, Rejection> {
    verify_with(&issuer.verifier(), token)
}

fn verify_with(verifier: &JwtAuth, token: &str) -> Result<Principal, Rejection> {
    later(verifier.verify(token))
}

/// Returns the result of a future that needs a runtime: the keys of JWTs are fetched in a task.
fn later<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
    RUNTIME.block_on(future)
}

fn accepts(issuer: &TokenIssuer, pair: &TokenPair) -> bool {
    match verify(issuer, pair.access_token()) {
        Ok(_) => true,
        Err(rejection) => {
            assert_eq!(rejection.kind(), RejectionKind::InvalidCredentials, "{rejection:?}");
            false
        }
    }
}

#[track_caller]
fn assert_rejected(result: &Result<Principal, Rejection>, expected: &TokenError) {
    let rejection = result.as_ref().expect_err("the token is not valid");
    assert_eq!(rejection.kind(), RejectionKind::InvalidCredentials);
    assert_eq!(reason(rejection).as_ref(), Some(expected), "{rejection:?}");
}

#[track_caller]
fn assert_unavailable(result: &Result<Principal, Rejection>, case: &str) {
    let rejection = result.as_ref().expect_err(case);
    assert_eq!(rejection.kind(), RejectionKind::Unavailable, "{case}: {rejection:?}");
    assert!(rejection.retry_after().is_some(), "{case}");
}
