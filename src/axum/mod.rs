//! Integration with axum: extractors and [`GuardedRouter`].
//!
//! This module requires the feature `axum`.
//!
//! # Extractors
//!
//! A handler extracts the authenticated caller as a [`Principal`](crate::Principal). Behind an
//! [optional](crate::AuthenticateLayer::optional) layer, it extracts an `Option<Principal>`,
//! which is `None` for an anonymous request. With the feature `jwt`, `Claims<T>` extracts the
//! claims of the caller's token. An extractor rejects the request with an [`ExtractRejection`].
//!
//! ```
//! # use axum::{Router, routing::get};
//! # #[cfg(feature = "jwt")] {
//! use tower_auth::{Principal, axum::Claims};
//!
//! #[derive(serde::Deserialize)]
//! struct Tenant {
//!     tenant: String,
//! }
//!
//! async fn show(caller: Principal, Claims(claims): Claims<Tenant>) -> String {
//!     format!("{} of {}", caller.subject(), claims.tenant)
//! }
//!
//! // Behind `AuthenticateLayer::optional`:
//! async fn greet(caller: Option<Principal>) -> &'static str {
//!     if caller.is_some() { "welcome back" } else { "welcome" }
//! }
//! # let _: Router = Router::new().route("/", get(show)).route("/hi", get(greet));
//! # }
//! ```
//!
//! # Guarded router
//!
//! [`GuardedRouter`] is an axum router in which each route has a policy, so that no route is
//! open by mistake.

pub(crate) mod extract;
pub(crate) mod guarded_router;
pub(crate) mod path_param;

#[cfg(feature = "jwt")]
pub use self::extract::Claims;
pub use self::extract::ExtractRejection;
// Documented at the crate root.
#[doc(no_inline)]
pub use self::guarded_router::GuardedRouter;
