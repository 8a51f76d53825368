//! Logout and revocation of tokens.
//!
//! A logout takes effect in the services that share a [store](crate::store). In other services, a
//! token remains valid until its `exp`, so issue tokens for a short time.
//!
//! ```
//! use std::time::Duration;
//! use tower_auth::{JwtAuth, jwt::Keys, revocation::Revocations, store::SealedStore};
//!
//! # fn f(keys: Keys) -> Result<(), tower_auth::ConfigError> {
//! let revocations = Revocations::builder(SealedStore::memory())
//!     .longest_token_life(Duration::from_secs(3600))
//!     .build()?;
//! let tokens = JwtAuth::builder(keys)
//!     .issuer("https://issuer.example")
//!     .audience("orders")
//!     .revocations(revocations.clone())
//!     .build()?;
//! # Ok(()) }
//! ```
//!
//! With [`Issuers`](crate::jwt::Issuers) or `Tenants`, call
//! [`revocations`](crate::jwt::JwtAuthBuilder::revocations) on the builder of each `JwtAuth`
//! inside, with clones of the same `Revocations`.
//!
//! # Log out
//!
//! | to withdraw | call | affects |
//! | --- | --- | --- |
//! | one token | [`token`](Revocations::token) | the tokens of the issuer with this `jti` |
//! | a session | [`session`](Revocations::session) | tokens with this `sid`, new ones for a time |
//! | a user | [`subject`](Revocations::subject) | all tokens that were issued until now |
//! | an issuer | [`issuer`](Revocations::issuer) | all tokens that were issued until now |
//!
//! A handler of axum that logs out its caller:
//!
//! ```
//! # #[cfg(feature = "axum")] {
//! use axum::extract::State;
//! use tower_auth::{Principal, Rejection, revocation::Revocations};
//!
//! async fn log_out(
//!     State(revocations): State<Revocations>,
//!     caller: Principal,
//! ) -> Result<&'static str, Rejection> {
//!     revocations.token(&caller).await?;
//!     Ok("goodbye")
//! }
//! # }
//! ```
//!
//! After a change of the password, log the user out everywhere. The user then logs in again:
//!
//! ```
//! use tower_auth::{Principal, Rejection, revocation::Revocations};
//!
//! async fn password_changed(
//!     revocations: &Revocations,
//!     caller: &Principal,
//! ) -> Result<(), Rejection> {
//!     let issuer = caller.issuer().unwrap_or_default();
//!     Ok(revocations.subject(issuer, caller.subject()).await?)
//! }
//! ```
//!
//! [`BackchannelLogout`] receives the logouts of an OpenID provider.
//!
//! If a call fails, the token may be revoked or not. Show the error to the user, or try again: a
//! revocation can be repeated.
//!
//! # When a revocation takes effect
//!
//! In this process, at once: before the call returns, also for tokens that are in a
//! [`TokenCache`](crate::jwt::TokenCache), and for checks that are in flight. In other processes
//! that share the store, after [`staleness`](RevocationsBuilder::staleness), which is 5 s by
//! default. A token that is known to be valid costs no call of the store for this time, and any
//! other token costs one round trip.
//!
//! # Clocks
//!
//! `subject` and `issuer` compare the time of the store with `iat`, which is in whole seconds. A
//! token that is issued in the second of the revocation is rejected, so a new login can take effect
//! up to a second later. If the clock of an issuer is ahead of the store's, tokens that it issued
//! shortly before the revocation stay valid: synchronize the clocks, or revoke by `jti` or `sid`,
//! which do not depend on a clock. A token with the claim `fst`, the start of a family of refreshed
//! tokens, is compared by that, so that a refresh does not undo a revocation. Without `fst`, it
//! does: also end the sessions of the user at the issuer.
//!
//! # Outages
//!
//! | store | requests | revocations |
//! | --- | --- | --- |
//! | unavailable | 503 with `Retry-After`, or see [`dangerous_admit_unchecked`] | an error (503) |
//! | has a record that cannot be read | 503 | an error (503) |
//! | was emptied or restored from an older copy | earlier tokens are rejected | succeed |
//!
//! [`dangerous_admit_unchecked`]: RevocationsBuilder::dangerous_admit_unchecked
//!
//! # Security
//!
//! A process that finds the store emptied, or restored from an older copy, rejects all tokens that
//! were issued before, of any issuer, because it does not know which of them were revoked. It emits
//! [`StoreReverted`](crate::observe::Event::StoreReverted) once, and the callers must log in again.
//! If all processes have been restarted since, only the loss of some of the records can be
//! detected: a store that is completely empty looks like a new one. So keep the store on disk, and
//! do not delete its records.
//!
//! All services that share a store must have the same
//! [`longest_token_life`](RevocationsBuilder::longest_token_life), and must check the tokens of an
//! issuer with the same claims.
//!
//! Create `Revocations` once in a process, and clone it. Revocations through another instance take
//! effect as if they came from another process.

pub(crate) mod answers;
pub(crate) mod backchannel;
pub(crate) mod backchannel_builder;
pub(crate) mod builder;
pub(crate) mod check;
mod coarser;
pub(crate) mod epoch;
pub(crate) mod error;
#[cfg(feature = "issue")]
mod family;
pub(crate) mod lifetime;
pub(crate) mod local_writes;
pub(crate) mod logout_request;
pub(crate) mod logout_token;
pub(crate) mod revocations;
pub(crate) mod revoke;
#[cfg(feature = "session")]
pub(crate) mod session;
pub(crate) mod target;
pub(crate) mod token_ids;

/// Returns the milliseconds since 1970, rounded up.
#[cfg(feature = "session")]
pub(crate) use self::epoch::millis as epoch_millis;
pub use self::{
    backchannel::BackchannelLogout, backchannel_builder::BackchannelLogoutBuilder,
    builder::RevocationsBuilder, error::RevokeError, revocations::Revocations,
    target::RevocationTarget,
};
