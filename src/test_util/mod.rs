//! What tests of your own need: callers, tokens, a clock and an issuer, with no provider and no socket.
//!
//! ```toml
//! [dev-dependencies]
//! tower-auth = { version = "0.1", features = ["test-util"] }
//! ```
//!
//! A handler or a policy needs no token at all, but a caller; [`AlwaysAs`] stands in for the real authenticator:
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
//! A service as a whole is tested as it is, with tokens that a [`TokenMint`] signs, and time that a [`TestClock`] tells:
//!
//! ```
//! use std::time::Duration;
//!
//! use tower_auth::test_util::{TestClock, TokenMint};
//!
//! let clock = TestClock::new();
//! let mint = TokenMint::new("https://issuer.example").clock(clock.clone());
//!
//! let tokens = mint.validator("orders").build()?; // or your own: JwtAuth::builder(mint.keys())
//! let token = mint.token("alice").audience("orders").scopes(["orders:read"]).sign();
//! let bad = mint.token("alice").audience("orders").signed_by_unknown_key().sign();
//!
//! clock.advance(Duration::from_secs(600)); // now `token` has expired, too
//! # let _ = (tokens, token, bad);
//! # Ok::<(), tower_auth::ConfigError>(())
//! ```
//!
//! With the feature `jwks`, `StubIssuer` publishes a mint's keys to what would fetch them from an issuer: through
//! rotations, and outages.
//!
//! # Security
//!
//! **For `[dev-dependencies]` alone.** [`AlwaysAs`] admits everybody, and [`TokenMint`] signs whatever it is asked
//! to. Where Cargo unifies features, so that this module is compiled into a program for production, nothing
//! changes: the feature adds this module, and the features `jwt` and `aws-lc-rs`, and no other line of the crate asks
//! whether it is on. Nobody is admitted by what is here until somebody names it.
//!
//! What is here panics where a test should fail.

pub(crate) mod always_as;
pub(crate) mod clock;
#[cfg(feature = "jwks")]
pub(crate) mod issuer;
pub(crate) mod key;
pub(crate) mod mint;
pub(crate) mod token;

use std::sync::Arc;

use serde_json::json;

#[cfg(feature = "jwks")]
pub use self::issuer::StubIssuer;
pub use self::{always_as::AlwaysAs, clock::TestClock, mint::TokenMint, token::TestToken};
use crate::{
    header::{Challenge, Scheme},
    principal::{Principal, PrincipalBuilder},
};

/// A caller, as a good token would have made it known: of the scheme Bearer, with its challenge, and with the
/// one claim `sub`. Scopes, issuer and expiry are yours to add. Claims that you give stand in place of that one, and are
/// not made of the rest.
///
/// A policy can be asked about it without any layer:
///
/// ```
/// use http::Request;
/// use serde_json::json;
/// use tower_auth::{Denial, Policy, policy_fn, test_util::principal};
///
/// #[derive(serde::Deserialize)]
/// struct Tenant<'a> {
///     tenant: &'a str,
/// }
///
/// let acme = policy_fn("acme's", |caller, _| match caller.claims::<Tenant<'_>>() {
///     Ok(claims) if claims.tenant == "acme" => Ok(()),
///     _ => Err(Denial::forbidden()),
/// });
///
/// let (head, ()) = Request::new(()).into_parts();
/// let alice = principal("alice").claims(&json!({ "tenant": "acme" }))?.build();
/// assert!(acme.evaluate(&alice, &head).is_ok());
/// assert!(acme.evaluate(&principal("bob").build(), &head).is_err());
/// # Ok::<(), tower_auth::ClaimsError>(())
/// ```
pub fn principal(subject: impl Into<Arc<str>>) -> PrincipalBuilder {
    let subject: Arc<str> = subject.into();
    let claims = json!({ "sub": &*subject }).to_string();
    PrincipalBuilder {
        challenge: Some(Challenge::new(Scheme::BEARER)),
        claims: Some(claims.into()),
        ..Principal::builder(subject, Scheme::BEARER)
    }
}
