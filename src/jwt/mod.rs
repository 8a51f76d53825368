//! Bearer tokens that are JWTs (RFC 6750, RFC 7519), signed with keys that you hold, or that an issuer
//! publishes.
//!
//! ```
//! # use axum::{Router, routing::get};
//! use tower_auth::{
//!     AuthenticateLayer, JwtAuth, Principal,
//!     jwt::{Algorithm, DecodingKey, Keys},
//! };
//!
//! # let secret = [7; 32];
//! let keys = Keys::new(Algorithm::HS256, DecodingKey::from_secret(&secret));
//! let tokens =
//!     JwtAuth::builder(keys).issuer("https://issuer.example").audience("orders").build()?;
//!
//! # let _: Router = Router::new()
//!     .route("/orders", get(async |caller: Principal| format!("hello {}", caller.subject())))
//!     .layer(AuthenticateLayer::new(tokens))
//! # ;
//! # Ok::<(), tower_auth::ConfigError>(())
//! ```
//!
//! # Security
//!
//! A token is admitted if its signature is that of one key which fits its `kid` and `alg`; if its `iss`
//! and `aud` are among those configured; if it has a subject, and an `exp` that is not over; and if its
//! `nbf`, `iat` and `typ` allow it. Claims are read once the signature held, and not before, save that
//! [`Issuers`] and `Tenants` choose by `iss` who is to verify. `crit`,
//! `b64`, names that are there twice, encrypted tokens and unsecured ones are refused. `jku`, `x5u`,
//! `x5c` and `jwk` are never read. A token is read up to 16 KiB, and its JSON up to 32 levels deep.
//!
//! Where the issuer follows RFC 9068, call
//! [`access_token_profile`](JwtAuthBuilder::access_token_profile): without it, an ID token of the same
//! issuer and audience, which has no type of its own, passes for an access token.
//!
//! A subject may hold any characters that JSON can. Escape it where it goes into a log or a header.
//!
//! Whoever holds a bearer token can use it until it ends. TLS must stand in front, tokens should be
//! short-lived, and no log should have them: the layer marks `Authorization` as sensitive for what is
//! further in.
//!
//! Callers are told `invalid_token`, whatever was wrong. The reason, a [`TokenError`], is for the
//! operator.

pub(crate) mod builder;
#[cfg(feature = "token-cache")]
pub(crate) mod cache;
pub(crate) mod claims;
pub mod crypto;
pub(crate) mod error;
pub(crate) mod jws;
pub(crate) mod jwt_auth;
pub(crate) mod keys;
pub(crate) mod validation;

pub use jsonwebtoken::{Algorithm, DecodingKey};

#[cfg(feature = "token-cache")]
pub use self::cache::TokenCache;
pub use self::{
    builder::JwtAuthBuilder,
    error::TokenError,
    jwt_auth::JwtAuth,
    keys::{keys::Keys, skipped::SkippedKey, source::KeySource},
};
pub use crate::bearer::issuers::Issuers;
#[cfg(feature = "jwks")]
pub use crate::{
    bearer::tenants::{TenantResolver, Tenants},
    jwks::jwks::Jwks,
};
