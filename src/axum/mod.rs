//! Extractors for axum handlers, behind the feature `axum`.
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
//! // Where the layer is `AuthenticateLayer::optional`:
//! async fn greet(caller: Option<Principal>) -> &'static str {
//!     if caller.is_some() { "welcome back" } else { "welcome" }
//! }
//! # let _: Router = Router::new().route("/", get(show)).route("/hi", get(greet));
//! # }
//! ```

pub(crate) mod extract;
pub(crate) mod guarded_router;
pub(crate) mod path_param;

#[cfg(feature = "jwt")]
pub use self::extract::Claims;
pub use self::{extract::ExtractRejection, guarded_router::GuardedRouter};
