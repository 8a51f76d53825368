//! The routes with a provider in this process.

mod back_channel;
mod callback;
mod errors;
mod fixture;
mod log_in;
mod log_out;
#[cfg(feature = "axum")]
mod router;
#[cfg(feature = "issue")]
mod tokens;
