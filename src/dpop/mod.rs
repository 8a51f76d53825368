//! Tokens that are sent with a proof of possession: DPoP (RFC 9449).
//!
//! A token that an authorization server has bound to a key of its client contains the thumbprint of
//! this key (`cnf.jkt`). The client sends a proof with each request: a JWT that names the method and
//! the URL of the request and the hash of the token, signed with the key. A token that was stolen
//! cannot be used without the key. A [`DpopBinding`] checks the proofs:
//!
//! ```
//! use tower_auth::{
//!     AuthenticateLayer, JwtAuth,
//!     dpop::DpopBinding,
//!     jwt::Keys,
//!     store::SealedStore,
//!     transport::Forwarded,
//! };
//!
//! # fn f(keys: Keys, store: SealedStore) -> Result<(), tower_auth::ConfigError> {
//! let tokens = JwtAuth::builder(keys)
//!     .issuer("https://issuer.example")
//!     .audience("https://orders.example")
//!     .binding(DpopBinding::builder(store).forwarded(Forwarded::direct().tls()).build()?)
//!     .build()?;
//! let layer = AuthenticateLayer::new(tokens);
//! # Ok(()) }
//! ```
//!
//! Tokens without `cnf` are accepted as `Bearer`, unless
//! [`require_binding`](crate::jwt::JwtAuthBuilder::require_binding) is set.
//!
pub(crate) mod binding;
pub(crate) mod builder;
pub(crate) mod error;
pub(crate) mod key;
mod nonces;
mod proof;
mod public_key;
mod rate_limit;
mod replay;
pub(crate) mod sent;
pub(crate) mod target;

pub use self::{
    binding::DpopBinding, builder::DpopBindingBuilder, error::ProofError, key::DpopKey,
};
