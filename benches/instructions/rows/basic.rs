//! User-ids and passwords.

use http::StatusCode;
use tower::{Layer, Service, service_fn};
use tower_auth::{
    AuthenticateLayer, BasicAuth,
    basic::Users,
    password::{HashVerifier, HashedUsers},
};

use crate::prepared::{Prepared, inner, request};

const RIGHT: &str = "Basic YWxpY2U6Y29ycmVjdCBob3JzZQ==";
const WRONG: &str = "Basic YWxpY2U6Y29ycmVjdCBob3JzZSA=";
/// What `PasswordHash::new` makes, of the same password.
const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$iRg3Q4gj4Txv5/eFdi0fIw$EO03coqejZ8vLYUCf1YhgSarr2JcigX7SLq8NqDvlfM";

fn through(users: Users, value: Option<&str>, status: StatusCode) -> Prepared {
    let layer = AuthenticateLayer::new(BasicAuth::new("staff", users).unwrap());
    Prepared::new(layer.layer(service_fn(inner)), value, status)
}

/// Alice and others, and Alice's request.
pub(crate) fn alice_among(count: usize) -> Prepared {
    let others = (1..count).map(|number| (format!("user {number}"), "staple"));
    let users = others.chain([("alice".to_owned(), "correct horse")]);
    through(Users::new(users).unwrap(), Some(RIGHT), StatusCode::OK)
}

fn two() -> Users {
    Users::new([("alice", "correct horse"), ("bob", "staple")]).unwrap()
}

pub(crate) fn admitted() -> Prepared {
    through(two(), Some(RIGHT), StatusCode::OK)
}

pub(crate) fn refused() -> Prepared {
    through(two(), Some(WRONG), StatusCode::UNAUTHORIZED)
}

pub(crate) fn missing() -> Prepared {
    through(two(), None, StatusCode::UNAUTHORIZED)
}

/// Found right once, and then remembered.
pub(crate) fn remembered_hash() -> Prepared {
    let verifier = HashVerifier::new(HashedUsers::new([("alice", HASH)]).unwrap());
    let layer = AuthenticateLayer::new(BasicAuth::new("staff", verifier).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let first = layer.layer(service_fn(inner)).call(request(Some(RIGHT)));
    assert_eq!(runtime.block_on(first).unwrap().status(), StatusCode::OK);
    Prepared::new(layer.layer(service_fn(inner)), Some(RIGHT), StatusCode::OK)
}
