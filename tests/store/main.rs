//! Stores and revocation, with real servers.

mod redis;
mod revocation;
