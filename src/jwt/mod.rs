//! Authentication with JWT bearer tokens (RFC 6750, RFC 7519).
//!
//! The verification keys are configured in the program, fetched from a token issuer, or both.
//!
//! ```
//! # use axum::{Router, routing::get};
//! use tower_auth::{AuthenticateLayer, JwtAuth, Principal, jwt::Keys};
//!
//! # let secret = [7; 32];
//! let tokens = JwtAuth::builder(Keys::hs256(&secret))
//!     .issuer("https://issuer.example")
//!     .audience("orders")
//!     .build()?;
//!
//! # let _: Router = Router::new()
//!     .route("/orders", get(async |caller: Principal| format!("hello {}", caller.subject())))
//!     .layer(AuthenticateLayer::new(tokens))
//! # ;
//! # Ok::<(), tower_auth::ConfigError>(())
//! ```
//!
//! Other keys:
//!
//! | key | constructor |
//! | --- | --- |
//! | a secret | [`Keys::hs256`], [`Keys::hs256_from_env`], [`Keys::hs256_from_file`] |
//! | a public key or certificate in PEM | [`Keys::rsa_pem`], [`Keys::ec_pem`], [`Keys::ed_pem`] |
//! | a JWK set | [`Keys::from_json`] |
//! | the keys of a live issuer | `Jwks` (feature `jwks-reqwest`) |
//! | types of jsonwebtoken | [`Keys::new`], or `From` |
//! | several of these | [`Keys::and`], [`KeySource::and`] |
//!
//! # Security
//!
//! A token is accepted if all of these conditions hold:
//!
//! - Its signature is valid for a configured key that matches its `alg` and, if present, its `kid`.
//! - Its `iss` and `aud` are among the configured issuers and audiences.
//! - It has a subject and an `exp` that has not passed.
//! - Its `nbf` and `iat` are not in the future, and its `typ` is `JWT`, `at+jwt`, absent, or one of
//!   the configured types. It is not a logout token (OpenID Connect Back-Channel Logout 1.0).
//! - It has no `cnf` (RFC 7800), or a [`Binding`](crate::binding::Binding) confirms that the caller
//!   has the key to which the token is bound.
//!
//! Claims are read only after the signature is verified. Exception: [`Issuers`] and
//! `Tenants` read `iss` first, to choose the verifier for the token.
//!
//! Tokens with `crit` or `b64`, tokens with duplicate member names, encrypted tokens and unsecured
//! tokens are rejected. `jku`, `x5u`, `x5c` and `jwk` are never read. Tokens are limited to 16 KiB
//! by default, and their JSON to 32 levels of nesting.
//!
//! If the issuer follows RFC 9068, call
//! [`access_token_profile`](JwtAuthBuilder::access_token_profile). Without this call, an ID token
//! of the same issuer and audience is accepted as an access token, because ID tokens have no
//! specific `typ`.
//!
//! A subject can contain any character that JSON allows. Escape it before you write it to a log or
//! a header.
//!
//! A bearer token can be used by anyone who has it, until it expires. Deploy TLS in front of the
//! service, use short-lived tokens, and do not log tokens.
//! [`AuthenticateLayer`](crate::AuthenticateLayer) hides tokens from inner services: it marks their
//! headers as sensitive, and removes WebSocket entries. A logging layer outside it still sees them.
//!
//! Callers receive the error code `invalid_token` for every invalid token. The exact reason, a
//! [`TokenError`] unless the token is valid but not confirmed, is only for the operator.

mod build_principal;
pub(crate) mod builder;
#[cfg(feature = "token-cache")]
pub(crate) mod cache;
pub(crate) mod claim_faults;
pub(crate) mod claims;
pub mod crypto;
pub(crate) mod error;
pub(crate) mod jws;
pub(crate) mod jwt_auth;
pub(crate) mod keys;
pub(crate) mod logout_event;
#[cfg(feature = "issue")]
pub(crate) mod reference;
pub(crate) mod validation;
pub(crate) mod verifier;

pub use jsonwebtoken::{Algorithm, DecodingKey};

#[cfg(feature = "token-cache")]
pub use self::cache::TokenCache;
// Documented at the crate root.
#[doc(no_inline)]
pub use self::jwt_auth::JwtAuth;
pub use self::{
    builder::JwtAuthBuilder,
    error::TokenError,
    keys::{keys::Keys, skipped::SkippedKey, source::KeySource},
    verifier::JwtVerifier,
};
pub use crate::bearer::issuers::Issuers;
#[cfg(feature = "jwks")]
pub use crate::{
    bearer::{
        tenant_resolver::{DynTenantResolver, TenantResolver},
        tenants::Tenants,
    },
    jwks::jwks::Jwks,
};
