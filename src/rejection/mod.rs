//! Why a request was refused.

pub(crate) mod kind;
pub(crate) mod rejection;

pub use self::{kind::RejectionKind, rejection::Rejection};
