//! The keys that verify token signatures.

pub(crate) mod jwk;
pub(crate) mod keys;
pub(crate) mod prepared;
pub(crate) mod public_key;
pub(crate) mod secret;
pub(crate) mod skipped;
pub(crate) mod source;
pub(crate) mod weak_key;
