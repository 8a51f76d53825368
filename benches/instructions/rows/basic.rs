//! Requests with Basic credentials.

use http::StatusCode;
use tower::{Layer, Service, service_fn};
use tower_auth::{
    AuthenticateLayer, BasicAuth,
    basic::Users,
    password::{HashVerifier, HashedUsers},
};

use crate::prepared::{PreparedRequest, inner, request};

const VALID: &str = "Basic YWxpY2U6Y29ycmVjdCBob3JzZQ==";
const WRONG: &str = "Basic YWxpY2U6Y29ycmVjdCBob3JzZSA=";
/// The hash that `PasswordHash::new` computes for the password in `VALID`.
const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$iRg3Q4gj4Txv5/eFdi0fIw$EO03coqejZ8vLYUCf1YhgSarr2JcigX7SLq8NqDvlfM";

fn prepare(users: Users, value: Option<&str>, status: StatusCode) -> PreparedRequest {
    let layer = AuthenticateLayer::new(BasicAuth::new("staff", users).unwrap());
    PreparedRequest::new(layer.layer(service_fn(inner)), value, status)
}

/// Prepares a request with the credentials of one of `count` users.
pub(crate) fn one_of_many_users(count: usize) -> PreparedRequest {
    let others = (1..count).map(|number| (format!("user {number}"), "staple"));
    let users = others.chain([("alice".to_owned(), "correct horse")]);
    prepare(Users::new(users).unwrap(), Some(VALID), StatusCode::OK)
}

fn two_users() -> Users {
    Users::new([("alice", "correct horse"), ("bob", "staple")]).unwrap()
}

pub(crate) fn valid_password() -> PreparedRequest {
    prepare(two_users(), Some(VALID), StatusCode::OK)
}

pub(crate) fn wrong_password() -> PreparedRequest {
    prepare(two_users(), Some(WRONG), StatusCode::UNAUTHORIZED)
}

pub(crate) fn missing_credentials() -> PreparedRequest {
    prepare(two_users(), None, StatusCode::UNAUTHORIZED)
}

/// Prepares a request whose successful check is cached.
pub(crate) fn cached_success() -> PreparedRequest {
    let verifier = HashVerifier::new(HashedUsers::new([("alice", HASH)]).unwrap());
    let layer = AuthenticateLayer::new(BasicAuth::new("staff", verifier).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let first = layer.layer(service_fn(inner)).call(request(Some(VALID)));
    assert_eq!(runtime.block_on(first).unwrap().status(), StatusCode::OK);
    PreparedRequest::new(layer.layer(service_fn(inner)), Some(VALID), StatusCode::OK)
}
