//! The keys that sign access tokens and authenticate refresh tokens.

mod document;
pub(crate) mod key_info;
pub(crate) mod key_ring;
pub(crate) mod keys_error;
pub(crate) mod mac_key;
mod place;
mod schedule;
pub(crate) mod signing_key;
pub(crate) mod signing_keys;
pub(crate) mod snapshot;

#[cfg(test)]
mod schedule_tests;
