//! Stores and revocation, with real servers.

mod backchannel;
mod broken;
mod debug;
mod dpop;
mod full;
mod issue;
mod issuer_keys;
mod readiness;
mod redis;
mod revocation;
mod runbook;
mod secret;
mod separate;
mod session;
mod suite;
mod throttle;
mod webhook;
