//! The keys that sign access tokens and authenticate refresh tokens.

pub(crate) mod key_ring;
pub(crate) mod mac_key;
pub(crate) mod signing_key;
pub(crate) mod signing_keys;
pub(crate) mod snapshot;
