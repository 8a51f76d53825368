//! Stores and revocation, with real servers.

mod debug;
mod revocation;
