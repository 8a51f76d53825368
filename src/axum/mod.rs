//! Integration with axum: extractors and `GuardedRouter`.
//!
//! The module is private. A public module named `axum` would make the name of the crate ambiguous
//! after `use tower_auth::*`.

pub mod extract;
pub(crate) mod guarded_router;
pub(crate) mod into_response;
pub(crate) mod path_param;
