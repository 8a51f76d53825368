//! Logout and revocation of tokens.
//!
//! A service in which a caller logs out, or an administrator withdraws access, records that in a
//! [`SealedStore`](crate::store::SealedStore). All services that share the store then reject the
//! tokens, at the latest after [`staleness`](RevocationsBuilder::staleness).
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
//! A handler revokes the token of its caller with [`Revocations::token`].

pub(crate) mod answers;
pub(crate) mod builder;
pub(crate) mod check;
mod coarser;
pub(crate) mod epoch;
pub(crate) mod error;
pub(crate) mod lifetime;
pub(crate) mod local_writes;
pub(crate) mod revocations;
pub(crate) mod revoke;
pub(crate) mod target;
pub(crate) mod token_ids;

pub use self::{
    builder::RevocationsBuilder, error::RevokeError, revocations::Revocations,
    target::RevocationTarget,
};
