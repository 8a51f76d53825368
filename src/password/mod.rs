//! HTTP Basic users whose passwords are stored as hashes.
//!
//! A [`HashVerifier`] checks passwords against the hashes of a [`UserStore`]. It runs the hash
//! functions on blocking threads, limits how many run at the same time, and caches successful
//! checks for 60 s. It needs a tokio runtime.
//!
//! ```
//! use tower_auth::{AuthenticateLayer, BasicAuth, password::{HashVerifier, HashedUsers}};
//!
//! // Written by `htpasswd -B`.
//! let hash = "$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe";
//! let users = HashedUsers::new([("alice", hash)])?;
//! let staff = BasicAuth::new("staff", HashVerifier::new(users))?;
//! let layer = AuthenticateLayer::new(staff);
//! # Ok::<(), tower_auth::ConfigError>(())
//! ```
//!
//! | users | store |
//! | --- | --- |
//! | in a file that `htpasswd` writes | [`Htpasswd`] |
//! | in memory | [`HashedUsers`] |
//! | in a database | a custom [`UserStore`] |
//!
//! [`PasswordHash`] lists the supported kinds of hashes and creates new ones.
//!
//! # Security
//!
//! - **Stolen hashes.** An attacker who obtains the hashes must guess passwords at the cost of the
//!   hash. Weak hashes are accepted, except for the kinds that need [`allow_apr1`] or a method with
//!   `dangerous_` in its name. Use [`HashVerifier::on_weak_hash`] to replace weak hashes.
//! - **User enumeration.** An unknown user gets the same response as a wrong password, and also
//!   costs one hash. See [`UserStore::decoy`].
//! - **Denial of service.** The number of concurrent hashes and the queue are limited; requests
//!   beyond them get 503. [`PasswordHash::parse`] rejects hashes that are too expensive.
#![cfg_attr(
    feature = "throttle",
    doc = "- **Guessing.** Only the cost of the hash slows down online guessing. Add a \
           [`Throttle`](crate::throttle::Throttle) to limit it."
)]
#![cfg_attr(
    not(feature = "throttle"),
    doc = "- **Guessing.** Only the cost of the hash slows down online guessing. Add a `Throttle` \
           to limit it, with the feature `throttle`."
)]
//! - Passwords are sent with every request. See the section on security of [`basic`](crate::basic).
//!
//! [`allow_apr1`]: HtpasswdBuilder::allow_apr1

pub(crate) mod cache;
pub(crate) mod decoy;
pub(crate) mod hash;
pub(crate) mod htpasswd;
pub(crate) mod pool;
pub(crate) mod store;
pub(crate) mod verifications;
pub(crate) mod verifier;

pub use self::{
    hash::PasswordHash,
    htpasswd::{Htpasswd, HtpasswdBuilder},
    store::{HashedUsers, StoredUser, UserStore},
    verifier::HashVerifier,
};
