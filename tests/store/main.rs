//! Stores and revocation, with real servers.

mod revocation;
mod secret;
mod suite;
