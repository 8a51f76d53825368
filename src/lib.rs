//! Tower layers that find out **who** sent a request, and decide **what** they may do: HTTP Basic,
//! Bearer JWT and scopes, for axum, tonic, hyper and whatever speaks [`tower::Service`].
//!
//! [`tower::Service`]: tower_service::Service
//!
//! ```
//! use axum::{Router, routing::get};
//! use tower_auth::{
//!     AuthenticateLayer, BasicAuth, JwtAuth, Principal, RequireScopes, any_of,
//!     basic::Users,
//!     jwt::{Algorithm, DecodingKey, Keys},
//! };
//!
//! # let public_key = DecodingKey::from_secret(&[7; 32]);
//! # const RS256: Algorithm = Algorithm::HS256;
//! let tokens = JwtAuth::builder(Keys::new(RS256, public_key))
//!     .issuer("https://issuer.example")
//!     .audience("orders")
//!     .build()?;
//! let staff = BasicAuth::new("staff", Users::new([("alice", "correct horse")])?)?;
//!
//! let app: Router = Router::new()
//!     .route("/orders", get(list).layer(RequireScopes::all(["orders:read"])))
//!     .layer(AuthenticateLayer::new(any_of(tokens, staff)));
//!
//! async fn list(caller: Principal) -> String {
//!     format!("hello {}", caller.subject())
//! }
//! # Ok::<(), tower_auth::ConfigError>(())
//! ```
//!
//! Whoever sends nothing gets 401 and is asked for both; a token or a password that is not good gets
//! 401; a caller without the scope gets 403 with the scopes that the route asks for. A gRPC caller
//! gets status 16 or 7.
//!
//! # The parts
//!
//! | to | use |
//! | --- | --- |
//! | ask for a token | [`JwtAuth`], with [keys](jwt::Keys), issuer and audience |
//! | take the keys from a live issuer | `jwt::jwks`, with the feature `jwks` |
//! | take tokens of several issuers | [`jwt::Issuers`] |
//! | ask for a password | [`BasicAuth`], with [`Users`](basic::Users) or a [verifier](basic::PasswordVerifier) of yours |
//! | keep passwords as hashes, or in an htpasswd file | `password::HashVerifier`, with the feature `password-hash` |
//! | ask for either | [`any_of`] |
//! | ask by a scheme of yours | an [`Authenticator`] |
//! | let strangers in, too | [`AuthenticateLayer::optional`] |
//! | have no route left open | `GuardedRouter`, with the feature `axum`, or [`Routes`](authorize::Routes) |
//! | ask for scopes | [`RequireScopes`] |
//! | ask for roles, claims, a fresh login, and more | the policies of [`authorize`], which combine |
//! | decide otherwise | a closure, as [`policy_fn`], or a [`Policy`] of yours |
//! | know the caller | [`Principal`], in the extensions of the request, or as an axum extractor |
//! | tell clients where to get tokens, as MCP asks | a [`ResourceMetadata`] |
//! | send credentials to others | `client::AttachLayer`, with the feature `client` |
//! | refuse in your own words | [`ProblemJson`](respond::ProblemJson), or a [`Respond`](respond::Respond), which may be a closure |
//!
//! A layer wraps what is added to a router *before* it. What asks for scopes belongs inside of what
//! finds out who is calling; where that is missing, every request gets 500 and, with the feature
//! `tracing`, an error in the log.
//!
//! # Features
//!
//! | feature | adds | default |
//! | --- | --- | --- |
//! | `basic` | [`BasicAuth`] | yes |
//! | `password-hash` | users whose passwords are stored as hashes, in memory, in an htpasswd file or with you, in `basic`; needs tokio | |
//! | `throttle` | `throttle::Throttle`, against guessing | |
//! | `jwt` | [`JwtAuth`] | yes |
//! | `aws-lc-rs` | the signature backend of `jwt`; without it, bring your [own](jwt::crypto::Backend) | yes |
//! | `jwks` | keys from a live issuer, and tenants, in `jwt::jwks` and `jwt::Tenants`; needs tokio | |
//! | `token-cache` | `jwt::TokenCache`: a token is verified once, and then looked up | |
//! | `client` | the other side: a layer that sends credentials, in `client`; needs tokio | |
//! | `axum` | extractors for axum handlers, in `extract`, and `GuardedRouter` | |
//! | `tracing` | an event for each refusal (debug), outage (warn), skipped key (warn) and wiring fault (error) | |
//! | `test-util` | callers, tokens, a clock and an issuer for tests of yours, in `test_util`; for `[dev-dependencies]` alone | |
//!
//! A feature adds API and never changes what is there. jsonwebtoken's own backends are left alone: a
//! program may turn on either, both or none.
//!
//! # Security
//!
//! What each scheme protects against, and what it does not, is said in [`basic`] and [`jwt`]. For all
//! of them: TLS must stand in front; credentials that are not good are refused even where none would
//! be needed, once they are for a scheme that is known; refusals say no more than the RFCs' codes, and the reason goes to the operator, in the
//! response's extensions and to `tracing`. An outage is 503, never 401.
//!
//! Refusals of gRPC requests are HTTP 200. A service that speaks no gRPC may want
//! [`HttpStatus`](respond::HttpStatus), and one that answers proxies (`auth_request`, ForwardAuth) must use it.
//!
//! `AuthenticateLayer` marks `Authorization` as sensitive for what is inside of it. A logging layer
//! outside of it still sees the header as it came.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
// What could panic on a request, or write where nobody asked it to. Tests may.
#![cfg_attr(
    not(test),
    warn(
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::print_stderr,
        clippy::print_stdout,
        clippy::unwrap_used,
    )
)]

pub mod authenticate;
pub mod authorize;
#[cfg(feature = "axum")]
pub mod axum;
#[cfg(feature = "basic")]
pub mod basic;
#[cfg(feature = "jwt")]
mod bearer;
#[cfg(feature = "client")]
pub mod client;
pub mod clock;
mod config_error;
pub mod credentials;
#[cfg(any(feature = "client", feature = "jwks"))]
mod error_chain;
mod header;
#[cfg(feature = "jwks")]
pub mod jwks;
#[cfg(feature = "jwt")]
pub mod jwt;
mod later;
#[cfg(feature = "jwt")]
pub mod metadata;
#[cfg(feature = "password-hash")]
pub mod password;
#[cfg(any(feature = "password-hash", feature = "token-cache"))]
mod prehashed;
mod principal;
mod rejection;
pub mod respond;
#[cfg(feature = "test-util")]
pub mod test_util;
#[cfg(feature = "throttle")]
pub mod throttle;
mod url;

#[cfg(feature = "axum")]
pub use self::axum::GuardedRouter;
#[cfg(feature = "basic")]
pub use self::basic::BasicAuth;
pub use self::{
    authenticate::{AnyOf, AuthenticateLayer, Authentication, Authenticator, any_of},
    authorize::{AuthorizeLayer, Denial, Policy, RequireScopes, policy_fn},
    config_error::ConfigError,
    header::{Challenge, Challenges, Scheme},
    principal::{Principal, PrincipalBuilder, Scopes},
    rejection::{Rejection, RejectionKind},
};
#[cfg(feature = "jwt")]
pub use self::{
    authorize::{RequireAuthentication, RequireRoles},
    jwt::JwtAuth,
    metadata::ResourceMetadata,
    principal::ClaimsError,
};

/// The README's example compiles.
#[cfg(all(doctest, feature = "basic", feature = "axum", feature = "test-util"))]
#[doc = include_str!("../README.md")]
struct Readme;
