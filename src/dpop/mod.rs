//! Tokens that are sent with a proof of possession: DPoP (RFC 9449).
//!
//! A token that an authorization server has bound to a key of its client contains the thumbprint of
//! this key (`cnf.jkt`). The client sends a proof with each request: a JWT that names the method,
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
//! let proofs = DpopBinding::builder(store)
//!     .forwarded(Forwarded::direct().tls())
//!     .hosts("orders.example")
//!     .build()?;
//! let tokens = JwtAuth::builder(keys)
//!     .issuer("https://issuer.example")
//!     .audience("https://orders.example")
//!     .binding(proofs)
//!     .build()?;
//! let layer = AuthenticateLayer::new(tokens);
//! # Ok(()) }
//! ```
//!
//! [The guide][guide] describes the setup behind proxies, nonces and browsers.
//!
//! # What is accepted
//!
//! | token | sent as | result |
//! | --- | --- | --- |
//! | with `cnf.jkt` | `Authorization: DPoP`, with a valid proof | accepted |
//! | with `cnf.jkt` | in another [location], with a valid proof | accepted |
//! | with `cnf.jkt` | `Authorization: Bearer` | 401 `invalid_token` |
//! | with `cnf.jkt` | without a proof, or with an invalid one | 401 `invalid_dpop_proof` |
//! | of another key than the proof | `Authorization: DPoP` | 401 `invalid_token` |
//! | without `cnf` | `Authorization: DPoP` | 401 `invalid_token` |
//! | without `cnf` | `Authorization: Bearer` | accepted, unless [`require_binding`] is set |
//!
//! If the store is unavailable or full, requests with bound tokens get 503. A key that is used too
//! often gets 429. A gRPC call is a `POST` to the path of its method.
//!
//! [location]: crate::credentials::TokenLocation
//! [`require_binding`]: crate::jwt::JwtAuthBuilder::require_binding
//!
//! # Security
//!
//! - All checks of RFC 9449 §4.3 are made for each request, also if the token is cached. The use of
//!   a proof is recorded in the store with one atomic operation, after all other checks. Of several
//!   requests with the same proof, one is accepted, whatever the number of instances.
//! - All instances must share the store, and their clocks must differ by at most
//!   [`leeway`](DpopBindingBuilder::leeway). The store must not evict records.
//! - The URL of a request is determined as [`forwarded`](DpopBindingBuilder::forwarded) says.
//!   Clients choose the host, so list those of the service with
//!   [`hosts`](DpopBindingBuilder::hosts). Otherwise, another service that accepts the same token
//!   can use a proof that it has received.
//! - A proof does not cover the query and the body. Deploy TLS in front of the service.
//! - Code that runs in the client can use the key like the client. With
//!   [`nonces`](DpopBindingBuilder::nonces), it cannot create proofs for later use.
//!
//! [guide]: https://docs.rs/tower-auth/latest/tower_auth/guide/dpop/

pub(crate) mod binding;
pub(crate) mod builder;
pub(crate) mod error;
pub(crate) mod key;
mod known_keys;
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
