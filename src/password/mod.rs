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
//! | in a store that is chosen at run time | `Arc<dyn` [`DynUserStore`]`>` |
//!
//! [`PasswordHash`] lists the supported kinds of hashes and creates new ones.
//!
//! # Scopes
//!
//! The users of a file have no scopes. [`map_principal`] adds them after the password was checked,
//! for example from a groups file of Apache, in which each line is `group: user user …`:
//!
//! ```no_run
//! use std::collections::HashMap;
//! use tower_auth::{
//!     BasicAuth, Principal,
//!     basic::PasswordVerifier,
//!     password::{HashVerifier, Htpasswd},
//! };
//!
//! let mut groups: HashMap<String, Vec<String>> = HashMap::new();
//! for line in std::fs::read_to_string("/etc/site/groups")?.lines() {
//!     let (group, users) = line.split_once(": ").unwrap_or_default();
//!     for user in users.split_whitespace() {
//!         groups.entry(user.to_owned()).or_default().push(group.to_owned());
//!     }
//! }
//! let users = HashVerifier::new(Htpasswd::open("/etc/site/htpasswd")?);
//! let users = users.map_principal(move |user: Principal| match groups.get(user.subject()) {
//!     Some(scopes) => user.to_builder().scopes(scopes).build(),
//!     None => user,
//! });
//! let staff = BasicAuth::new("staff", users)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`map_principal`]: crate::basic::PasswordVerifier::map_principal
//!
//! # Login forms
//!
//! A handler verifies a user id and a password with
//! [`BasicAuth::verify`](crate::BasicAuth::verify), where there is an example. It has the same
//! users, cache and limits as HTTP Basic.
//!
//! # Security
//!
//! - **Stolen hashes.** An attacker who obtains the hashes must guess passwords at the cost of the
//!   hash. Weak hashes are accepted, except for the kinds that need [`allow_apr1`] or a method with
//!   `dangerous_` in its name. [`HashVerifier::renew_hashes`] replaces weak hashes when their users
//!   log in.
//! - **User enumeration.** An unknown user gets the same response as a wrong password, and also
//!   costs one hash. See [`UserStore::decoy`]. A user id with a colon or a control character costs
//!   none. No user can have it, so that reveals nothing.
//! - **Denial of service.** The number of concurrent hashes and the queue are limited; requests
//!   beyond them get 503. With a throttle, each client has a share of the queue.
//!   [`PasswordHash::parse`] rejects hashes that are too expensive.
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
#[cfg(test)]
mod enumeration_tests;
pub(crate) mod hash;
pub(crate) mod htpasswd;
pub(crate) mod pool;
pub(crate) mod renewals;
#[cfg(test)]
mod renewals_tests;
pub(crate) mod store;
pub(crate) mod verifications;
pub(crate) mod verifier;
#[cfg(test)]
mod verifier_tests;

pub use self::{
    hash::PasswordHash,
    htpasswd::{Htpasswd, HtpasswdBuilder},
    store::{DynUserStore, HashedUsers, StoredUser, UserStore},
    verifier::HashVerifier,
};
