//! Passwords that are stored as hashes.

pub(crate) mod cache;
pub(crate) mod checks;
pub(crate) mod hash;
pub(crate) mod htpasswd;
pub(crate) mod pool;
pub(crate) mod store;
pub(crate) mod verifier;

pub use self::{
    hash::PasswordHash,
    htpasswd::{Htpasswd, HtpasswdBuilder},
    store::{HashedUsers, StoredUser, UserStore},
    verifier::HashVerifier,
};
