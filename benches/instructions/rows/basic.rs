//! HTTP Basic: user ids and passwords.

use http::StatusCode;
use tower::{Layer, Service, service_fn};
use tower_auth::{
    AuthenticateLayer, BasicAuth,
    basic::Users,
    password::{HashVerifier, HashedUsers},
};

use crate::prepared::{Prepared, inner, request};

const VALID: &str = "Basic YWxpY2U6Y29ycmVjdCBob3JzZQ==";
const INVALID: &str = "Basic YWxpY2U6Y29ycmVjdCBob3JzZSA=";
/// A hash of the valid password, created by `PasswordHash::new`.
const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$iRg3Q4gj4Txv5/eFdi0fIw$EO03coqejZ8vLYUCf1YhgSarr2JcigX7SLq8NqDvlfM";

fn through(users: Users, value: Option<&str>, status: StatusCode) -> Prepared {
    let layer = AuthenticateLayer::new(BasicAuth::new("staff", users).unwrap());
    Prepared::new(layer.layer(service_fn(inner)), value, status)
}

/// Sends Alice's request to a service with `count` users.
pub(crate) fn alice_among(count: usize) -> Prepared {
    let others = (1..count).map(|number| (format!("user {number}"), "staple"));
    let users = others.chain([("alice".to_owned(), "correct horse")]);
    through(Users::new(users).unwrap(), Some(VALID), StatusCode::OK)
}

fn two_users() -> Users {
    Users::new([("alice", "correct horse"), ("bob", "staple")]).unwrap()
}

pub(crate) fn accepted() -> Prepared {
    through(two_users(), Some(VALID), StatusCode::OK)
}

pub(crate) fn rejected() -> Prepared {
    through(two_users(), Some(INVALID), StatusCode::UNAUTHORIZED)
}

pub(crate) fn missing() -> Prepared {
    through(two_users(), None, StatusCode::UNAUTHORIZED)
}

/// The password is verified once. The counted request finds the result in the cache.
pub(crate) fn cached_hash() -> Prepared {
    let verifier = HashVerifier::new(HashedUsers::new([("alice", HASH)]).unwrap());
    let layer = AuthenticateLayer::new(BasicAuth::new("staff", verifier).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let first = layer.layer(service_fn(inner)).call(request(Some(VALID)));
    assert_eq!(runtime.block_on(first).unwrap().status(), StatusCode::OK);
    Prepared::new(layer.layer(service_fn(inner)), Some(VALID), StatusCode::OK)
}
