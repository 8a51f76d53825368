//! The keys that verify tokens.

pub(crate) mod keys;
pub(crate) mod prepared;
pub(crate) mod skipped;
pub(crate) mod source;
