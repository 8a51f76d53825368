//! HTTP Basic (RFC 7617): a user-id and a password with every request.
//!
//! ```
//! # use axum::{Router, routing::get};
//! use tower_auth::{AuthenticateLayer, BasicAuth, basic::Users};
//!
//! let users = Users::new([("alice", "correct horse battery staple")])?;
//! let staff = BasicAuth::new("staff", users)?;
//!
//! # let _: Router = Router::new()
//!     .route("/", get(|| async { "welcome" }))
//!     .layer(AuthenticateLayer::new(staff))
//! # ;
//! # Ok::<(), tower_auth::ConfigError>(())
//! ```
//!
//! Users that live elsewhere come through a [`PasswordVerifier`], which may be a closure:
//!
//! ```
//! # async fn look_up(_: &str, _: &str) -> Result<bool, std::io::Error> { Ok(true) }
//! use tower_auth::{BasicAuth, basic::{BasicCredentials, Verdict}};
//!
//! let staff = BasicAuth::new("staff", |sent: BasicCredentials| async move {
//!     match look_up(sent.user_id(), sent.password()).await {
//!         Ok(true) => Verdict::Verified(sent.to_principal().scopes(["orders:read"]).build()),
//!         Ok(false) => Verdict::Invalid,
//!         Err(error) => Verdict::unavailable(error),
//!     }
//! })?;
//! # Ok::<(), tower_auth::ConfigError>(())
//! ```
//!
//! | users | are in |
//! | --- | --- |
//! | a handful, with passwords as they are | [`Users`] |
#![cfg_attr(
    feature = "password-hash",
    doc = "| in a file that `htpasswd` writes | [`HashVerifier`] over [`Htpasswd`] |\n\
           | in memory, with hashes | [`HashVerifier`] over [`HashedUsers`] |\n\
           | in a database, with hashes | [`HashVerifier`] over a [`UserStore`] of yours |"
)]
#![cfg_attr(
    not(feature = "password-hash"),
    doc = "| in a file or a database, with hashes | `HashVerifier`, with the feature `password-hash` |"
)]
//! | with somebody who can be asked | a [`PasswordVerifier`] of yours |
//!
//! # Security
//!
//! Basic sends the password itself, readable for whoever sees the request, with every request. TLS
//! must stand in front of it. It does not protect against replay, and browsers keep sending it until
//! they are closed, also with requests that another site caused (CSRF).
//!
//! Malformed credentials, unknown users and wrong passwords get the same answer. Whoever may ask as often as they like
//! can guess: the feature `throttle` has a `Throttle` against that.

pub(crate) mod basic_auth;
pub(crate) mod credentials;
pub(crate) mod users;
pub(crate) mod verifier;

pub use self::{
    basic_auth::BasicAuth,
    credentials::BasicCredentials,
    users::Users,
    verifier::{PasswordVerifier, Verdict},
};
