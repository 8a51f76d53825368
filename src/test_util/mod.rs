//! Test utilities: callers, a test token issuer, a mock clock and a stub issuer, without network.
//!
//! ```toml
//! [dev-dependencies]
//! tower-auth = { version = "0.1", features = ["test-util"] }
//! ```
//!
//! To test a handler or a policy, no token is needed. [`AlwaysAs`] replaces the real authenticator:
//!
//! ```
//! # #[cfg(feature = "axum")] {
//! use axum::{Router, body::Body, http::Request, routing::get};
//! use tower::ServiceExt;
//! use tower_auth::{
//!     AuthenticateLayer, Principal, RequireScopes,
//!     test_util::{AlwaysAs, principal},
//! };
//!
//! async fn list(caller: Principal) -> String {
//!     format!("hello {}", caller.subject())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let app = Router::new().route("/orders", get(list).layer(RequireScopes::all(["orders:read"])));
//! let alice = principal("alice").scopes(["orders:read"]).build();
//!
//! let app: Router = app.layer(AuthenticateLayer::new(AlwaysAs::new(alice)));
//! let request = Request::get("/orders").body(Body::empty()).unwrap();
//! assert_eq!(app.oneshot(request).await.unwrap().status(), 200);
//! # }
//! # main(); }
//! ```
//!
//! To test a complete service, sign tokens with a [`TokenMint`] and control the time with a
//! [`TestClock`]:
//!
//! ```
//! use std::time::Duration;
//!
//! use tower_auth::test_util::{TestClock, TokenMint};
//!
//! let clock = TestClock::new();
//! let mint = TokenMint::new("https://issuer.example").clock(clock.clone());
//!
//! let tokens = mint.validator("orders").build()?; // or JwtAuth::builder(mint.keys())
//! let token = mint.token("alice").audience("orders").scopes(["orders:read"]).sign();
//! let bad = mint.token("alice").audience("orders").signed_by_unknown_key().sign();
//!
//! clock.advance(Duration::from_secs(600)); // now `token` has expired as well
//! # let _ = (tokens, token, bad);
//! # Ok::<(), tower_auth::ConfigError>(())
//! ```
//!
//! With the feature `jwks`, `StubIssuer` publishes the keys of a [`TokenMint`], so that you can
//! test key rotation and outages. With the feature `store`, `StoreSuite` tests your own `Store`.
//!
//! # Security
//!
//! **Use this module in `[dev-dependencies]` only.** [`AlwaysAs`] accepts every request, and
//! [`TokenMint`] signs any token.
//!
//! Cargo can unify features, so that this module is compiled into a production binary. This does
//! not weaken the binary: the feature adds only this module and the features `jwt` and `aws-lc-rs`,
//! and no other code depends on it. The module has no effect unless your code uses its items.
//!
//! The functions of this module panic on errors, so that the test fails.

pub(crate) mod always_as;
#[cfg(feature = "api-key")]
pub(crate) mod api_key_store;
pub(crate) mod clock;
#[cfg(feature = "jwks")]
pub(crate) mod issuer;
pub(crate) mod key;
pub(crate) mod mint;
#[cfg(feature = "store")]
pub(crate) mod store_suite;
pub(crate) mod token;

use std::sync::Arc;

use serde_json::json;

#[cfg(feature = "api-key")]
pub use self::api_key_store::check_api_key_store;
#[cfg(feature = "jwks")]
pub use self::issuer::StubIssuer;
#[cfg(feature = "store")]
pub use self::store_suite::StoreSuite;
pub use self::{always_as::AlwaysAs, clock::TestClock, mint::TokenMint, token::TestToken};
use crate::{
    header::{Challenge, Scheme},
    principal::{Principal, PrincipalBuilder},
};

/// Returns a builder for a caller as a valid bearer token creates it: with the scheme `Bearer`, its
/// challenge, and the claim `sub`.
///
/// Add scopes, issuer and expiry as needed. [`claims`](PrincipalBuilder::claims) replaces the claim
/// `sub`. The other values do not add claims.
///
/// A policy can be evaluated without a layer:
///
/// ```
/// use http::Request;
/// use serde_json::json;
/// use tower_auth::{Denial, Policy, policy_fn, test_util::principal};
///
/// let acme = policy_fn("acme's", |caller, _| match caller.claim::<String>("tenant") {
///     Ok(tenant) if tenant == "acme" => Ok(()),
///     _ => Err(Denial::forbidden()),
/// });
///
/// let (head, ()) = Request::new(()).into_parts();
/// let alice = principal("alice").claims(&json!({ "tenant": "acme" }))?.build();
/// assert!(acme.evaluate(&alice, &head).into_ready().unwrap().is_ok());
/// assert!(acme.evaluate(&principal("bob").build(), &head).into_ready().unwrap().is_err());
/// # Ok::<(), tower_auth::ClaimsError>(())
/// ```
pub fn principal(subject: impl Into<Arc<str>>) -> PrincipalBuilder {
    let subject: Arc<str> = subject.into();
    let claims = json!({ "sub": &*subject });
    let builder = Principal::builder(subject, Scheme::BEARER);
    let builder = builder.challenge(Challenge::new(Scheme::BEARER));
    builder.clone().claims(&claims).unwrap_or(builder)
}
