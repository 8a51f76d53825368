//! Stores and revocation, with real servers.

mod full;
mod revocation;
mod secret;
mod suite;
