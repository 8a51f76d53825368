//! Keys from a live issuer: fetched, kept, and fetched again as the issuer changes them.
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
//! Or with the keys somewhere else, and at a pace of yours:
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
//! One task fetches for all requests, and ends with the last clone of the validator. It is started by
//! [`build`](super::JwtAuthBuilder::build) within a tokio runtime (with time and I/O), and elsewhere by the
//! first request. It fetches again at about 80 % of the time for which keys are fresh. Requests whose key is known
//! read it without a lock and never wait.
//!
//! Some providers publish RSA keys that name no `alg`. Such a key is for RS256; for another algorithm, list it with
//! [`algorithms`](super::JwtAuthBuilder::algorithms).
//!
//! - **Rotation.** A token whose `kid` no key has makes the keys be fetched again, once for all who wait, and is
//!   then checked against them: it is admitted by the request that brought it. Names that are nowhere cannot make
//!   that happen more often than once a [cooldown](Jwks::cooldown); one that was looked for in vain is
//!   remembered for four of them.
//! - **Outage.** The last keys serve on for [`max_stale`](Jwks::max_stale). Without keys, and for tokens whose key is
//!   unknown, callers get 503 with `Retry-After` (gRPC 14), never 401. Failing fetches back off.
//! - **Insight.** [`JwtAuth::health`](super::JwtAuth::health) tells how the keys are; the feature `tracing` has
//!   events for new keys, keys that are not used, failures and recovery.
//!
//! # Security
//!
//! Whoever controls the key set can sign for everybody. https is required, other than within this machine; a
//! redirect to another scheme is refused, and so are metadata of another issuer. HMAC secrets, weak keys and
//! keys of unknown kinds are skipped one by one. A set that is empty is believed: its issuer has withdrawn
//! its keys. A key that an issuer withdraws is accepted until the next fetch, and during an outage for `max_stale`
//! more.

pub(crate) mod discovery;
pub(crate) mod fetch;
pub(crate) mod health;
pub(crate) mod jwks;
pub(crate) mod live_keys;
pub(crate) mod refresher;
pub(crate) mod schedule;
pub(crate) mod source;
pub(crate) mod state;

pub use self::{
    fetch::{Fetch, FetchError},
    health::Health,
};
