//! HTTP Basic authentication (RFC 7617): a user id and a password with every request.
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
//! A custom [`PasswordVerifier`] checks passwords elsewhere, for example in a directory service. A
//! closure is a verifier:
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
//! | users | verifier |
//! | --- | --- |
//! | a few technical users with plain-text passwords | [`Users`] |
#![cfg_attr(
    feature = "password-hash",
    doc = "| users with password hashes, in a file, in memory or in a database | [`HashVerifier`], \
           see [`password`](crate::password) |\n\
           | users of another service | a custom [`PasswordVerifier`] |\n\n\
           [`HashVerifier`]: crate::password::HashVerifier"
)]
#![cfg_attr(
    not(feature = "password-hash"),
    doc = "| users with password hashes, in a file, in memory or in a database | `HashVerifier` in \
           the module `password`, with the feature `password-hash` |\n\
           | users of another service | a custom [`PasswordVerifier`] |"
)]
//!
//! # Security
//!
//! Basic sends the password with every request, encoded but not encrypted. Deploy it behind TLS
//! only. It does not protect against replay.
//!
//! Browsers send the password on their own until they are closed, also with requests that another
//! site causes (CSRF). Such requests are rejected with 403 unless they only read; see
//! [`trusted_origin`](BasicAuth::trusted_origin). Clients that are not browsers, such as curl, are
//! not affected. Behind a proxy that terminates TLS or changes `Host`, set
//! [`forwarded`](BasicAuth::forwarded), because some browsers send only `Origin`.
//!
//! Credentials that cannot be decoded, unknown users and wrong passwords get the same 401 response.
#![cfg_attr(
    feature = "throttle",
    doc = "To limit how fast an attacker can guess passwords, add a [`Throttle`].\n\n\
           [`Throttle`]: crate::throttle::Throttle"
)]
#![cfg_attr(
    not(feature = "throttle"),
    doc = "To limit how fast an attacker can guess passwords, add a `Throttle`, with the feature \
           `throttle`."
)]

mod ambient;
pub(crate) mod basic_auth;
#[cfg(any(feature = "throttle", feature = "password-hash"))]
pub(crate) mod client_address;
pub(crate) mod credentials;
#[cfg(feature = "issue")]
pub(crate) mod login;
mod login_limits;
pub(crate) mod users;
pub(crate) mod verifier;

// Documented at the crate root.
#[doc(no_inline)]
pub use self::basic_auth::BasicAuth;
pub use self::{
    credentials::BasicCredentials,
    users::Users,
    verifier::{DynPasswordVerifier, PasswordVerifier, Verdict},
};
