//! Why a request is rejected.

pub(crate) mod kind;
pub(crate) mod rejection;

pub use self::{kind::RejectionKind, rejection::Rejection};
