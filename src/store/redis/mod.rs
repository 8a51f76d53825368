//! Records in Redis or Valkey.

pub(crate) mod builder;
mod command;
mod connection;
mod endpoint;
mod eviction;
mod fault;
mod link;
#[allow(clippy::module_inception)]
pub(crate) mod redis;
mod session;
