//! Stores and revocation, with real servers.

mod revocation;
mod suite;
