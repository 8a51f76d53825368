//! Why a request is rejected.

#[cfg(test)]
mod guide_tests;
pub(crate) mod kind;
pub(crate) mod rejection;

pub use self::{kind::RejectionKind, rejection::Rejection};
