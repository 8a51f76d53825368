//! Stores and revocation, with real servers.

mod backchannel;
mod redis;
mod broken;
mod full;
mod revocation;
mod secret;
mod suite;
