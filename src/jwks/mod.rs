//! Fetches the key set (JWKS) of an issuer and keeps it up to date.
//!
//! A [`Jwks`] describes where the keys are. Pass it to [`JwtAuth::builder`] instead of fixed keys:
//!
//! ```no_run
//! use tower_auth::{JwtAuth, jwt::Jwks};
//!
//! # fn f() -> Result<JwtAuth, tower_auth::ConfigError> {
//! let keys = Jwks::discover("https://issuer.example");
//! let tokens = JwtAuth::builder(keys).audience("orders").build()?;
//! # Ok(tokens) }
//! ```
//!
//! With the URL of the key set and a custom refresh interval:
//!
//! ```no_run
//! # use tower_auth::{JwtAuth, jwt::Jwks};
//! use std::time::Duration;
//!
//! # fn f() -> Result<JwtAuth, tower_auth::ConfigError> {
//! let keys = Jwks::url("https://issuer.example/keys").refresh(Duration::from_secs(300));
//! let tokens =
//!     JwtAuth::builder(keys).issuer("https://issuer.example").audience("orders").build()?;
//! # Ok(tokens) }
//! ```
//!
//! Both need the feature `jwks-reqwest`, which adds an HTTP client. With the feature `jwks` alone,
//! read the keys from a file with [`Jwks::file`], or implement [`Fetch`] for your own client or
//! another source.
//!
//! The issuer can have fixed keys as well: see [`KeySource::and`].
//!
//! A background task fetches the keys for all requests. [`build`] starts the task if it is called
//! inside a tokio runtime (with time and I/O enabled). Otherwise, the first request starts it. The
//! task ends when the last clone of the [`JwtAuth`] is dropped. It refreshes the keys after about
//! 80 % of the time for which they are fresh. Requests with a known key read the keys without a
//! lock and never wait.
//!
//! Some providers publish RSA keys without `alg`. Such a key verifies RS256 only. To use another
//! algorithm, list it with [`algorithms`].
//!
//! - **Rotation.** A token with an unknown `kid` triggers a fetch, which all waiting requests
//!   share. The token is then verified with the new keys, so the request that brought it succeeds.
//!   Unknown `kid`s trigger at most one fetch per [cooldown].
//! - **Unknown `kid`.** If a set that was fetched successfully within the cooldown lacks the `kid`,
//!   callers get 401. A `kid` counts as absent for no longer than the cooldown. If the last fetch
//!   failed, or none has succeeded, callers get 503 with `Retry-After` (gRPC status 14). If the
//!   next fetch is allowed in less than 2 s, the request waits for it; beyond 1024 requests that
//!   wait, callers get 503. A token without `kid` is treated like one with an unknown `kid`, unless
//!   one of the keys verifies it.
//! - **Outage.** The last keys stay in use for [`max_stale`]. Without usable keys, callers get 503,
//!   never 401. Failed fetches are retried with back-off.
//! - **Monitoring.** [`JwtAuth::health`] reports the state of the keys. The
//!   [observer](crate::observe) is told about key changes, skipped keys, failed fetches and
//!   recovery. By default, it logs them.
//!
//! # Security
//!
//! Anyone who controls the key set can sign tokens for any subject. By default, keys are therefore
//! fetched over https, or over http from loopback only. Redirects to another scheme and metadata of
//! another issuer are rejected.
//!
//! HMAC secrets, private keys, weak keys and keys of unknown types are skipped one by one; the
//! other keys of the set are used. An empty set is valid: the issuer has withdrawn all its keys.
//!
//! Documents are requested without compression and are limited to 1 MiB. A compressed response is
//! an error, because its decoded size is not known in advance.
//!
//! A withdrawn key is accepted until the next fetch. During an outage, it is accepted for up to
//! `max_stale` longer.
//!
//! [`Jwks`]: crate::jwt::Jwks
//! [`Jwks::file`]: crate::jwt::Jwks::file
//! [`JwtAuth`]: crate::JwtAuth
//! [`JwtAuth::builder`]: crate::JwtAuth::builder
//! [`JwtAuth::health`]: crate::JwtAuth::health
//! [`KeySource::and`]: crate::jwt::KeySource::and
//! [`algorithms`]: crate::jwt::JwtAuthBuilder::algorithms
//! [`build`]: crate::jwt::JwtAuthBuilder::build
//! [`max_stale`]: crate::jwt::Jwks::max_stale
//! [cooldown]: crate::jwt::Jwks::cooldown

pub(crate) mod discovery;
pub(crate) mod document;
pub(crate) mod fetch;
pub(crate) mod health;
pub(crate) mod jwks;
pub(crate) mod live_keys;
pub(crate) mod refresher;
pub(crate) mod schedule;
pub(crate) mod source;
pub(crate) mod state;
#[cfg(test)]
mod state_tests;

pub use self::fetch::{DynFetch, Fetch, FetchError};
