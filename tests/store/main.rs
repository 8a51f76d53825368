//! Stores and revocation, with real servers.

mod backchannel;
mod redis;
mod revocation;
mod secret;
mod suite;
