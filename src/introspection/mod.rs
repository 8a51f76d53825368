//! Asks an authorization server about tokens (RFC 7662).
//!
//! A token that is not a JWT says nothing by itself: only the server that issued it knows whether
//! it is valid, and whose it is. [`Introspection`] asks the introspection endpoint of the server,
//! and caches the answers for a short time. It is a verifier for
//! [`BearerAuth`](crate::bearer::BearerAuth):
//!
//! ```no_run
//! # #[cfg(feature = "jwks-reqwest")] {
//! use tower_auth::{AuthenticateLayer, bearer::BearerAuth, introspection::Introspection};
//!
//! # let secret = "";
//! let tokens = Introspection::discover("https://issuer.example")
//!     .client_secret("orders", secret)
//!     .audience("orders")
//!     .build()?;
//! let layer = AuthenticateLayer::new(BearerAuth::new(tokens));
//! # }
//! # Ok::<(), tower_auth::ConfigError>(())
//! ```
//!
//! A service that accepts JWTs as well verifies these without the endpoint:
//!
//! ```
//! use tower_auth::{ConfigError, JwtAuth, introspection::Introspection, jwt::Issuers};
//!
//! fn accept_both(jwts: JwtAuth, opaque: Introspection) -> Result<Issuers, ConfigError> {
//!     Ok(Issuers::new([jwts])?.otherwise(opaque))
//! }
//! ```
//!
//! # What is checked
//!
//! - The response has the status 200 and the type `application/json`, is one JSON object without
//!   duplicate names at any level, and is not longer than 64 KiB. Otherwise, it is not known
//!   whether the token is valid, and the request gets 503.
//! - `active` is `true`. For any other value, and without `active`, the token is invalid (401), as
//!   in all cases that follow. If it is not `false` either, this is also reported, once.
//! - `aud` contains an [`audience`](IntrospectionBuilder::audience). It is required.
//! - `iss`, if it is present, is the [`issuer`](IntrospectionBuilder::issuer), if one is set.
//! - `exp`, `nbf` and `iat`, as far as they are present, are valid now, with the
//!   [`leeway`](IntrospectionBuilder::leeway).
//! - `sub` is present, or another claim that
//!   [`subject_from`](IntrospectionBuilder::subject_from) names.
//! - `token_type`, `token_use` and `typ` do not say that it is another kind of token, such as a
//!   refresh token.
//! - A [`Binding`](crate::binding::Binding) confirms a token that is bound to a key (`cnf`).
//!
//! All members become claims of the [`Principal`](crate::Principal), for the policies in
//! [`authorize`](crate::authorize). The scopes are those of `scope`, or else of `scp`.
//!
//! JWT responses (RFC 9701) are not supported.
//!
//! # Cache
//!
//! An accepted token is not asked about again for 30 s, or until its `exp`. This is also the delay
//! after which a revocation at the server takes effect. It counts from the request to the endpoint.
//! A rejected token is not asked about again for 5 s. See
//! [`cache_for`](IntrospectionBuilder::cache_for) and
//! [`negative_for`](IntrospectionBuilder::negative_for). The tables contain SHA-256 of each token,
//! and not the token.
//!
//! Requests with equal tokens share one request to the endpoint. If a caller disconnects, the
//! others still get the answer.
//!
//! # Outages
//!
//! While the endpoint does not answer, cached tokens are accepted until the end of their entries,
//! and others get 503 with `Retry-After`. Each failure is an
//! [event](crate::observe::Event::IntrospectionFailed). After three failures in a row, the endpoint
//! is not asked for 1 s, and for up to 30 s if it continues to fail. A single request then finds
//! out whether it works again.
//!
//! If the endpoint rejects the credentials of this service, requests get 503 as well, and not 401:
//! their tokens may be valid.
//!
//! # Limits
//!
//! At most 64 requests to the endpoint are made at a time, and 1,024 wait for their turn. A quarter
//! of them is reserved for known tokens, which were accepted in the last hour, so that a flood of
//! invented tokens does not stop callers with valid ones. In addition, set a
//! [`throttle`](IntrospectionBuilder::throttle): it limits the invalid tokens of each client
//! address.
//!
//! # Security
//!
//! - The endpoint is trusted like an issuer: it decides who the caller is. Its URL must be https,
//!   or http to loopback. Redirects are not followed.
//! - The token is sent in the body of a request, and is in no URL, event, error or `Debug` output.
//! - A token of more than 16 KiB, or with a character that no token has (RFC 6750 §2.1), is
//!   rejected without a request.
//! - A revocation at the server takes effect after up to 30 s. For a shorter delay, lower
//!   [`cache_for`](IntrospectionBuilder::cache_for): zero asks about each request.
//! - A caller can learn from the response time whether a token was used recently.

mod admission;
mod asking;
mod back_off;
mod builder;
mod cache;
mod endpoint;
pub(crate) mod error;
mod failure;
mod flight;
#[allow(clippy::module_inception)] // one noun per file
mod introspection;
mod question;
mod response;
mod state;
mod token_digest;
mod token_kind;
mod trial;

pub use self::{
    builder::IntrospectionBuilder,
    error::{IntrospectionError, IntrospectionErrorKind},
    introspection::Introspection,
};
