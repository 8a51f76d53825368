//! What tests and benches share: programs as processes, HTTP byte for byte, signed tokens, and, with the feature
//! `full`, servers on loopback.
#![allow(clippy::new_without_default)]

#[cfg(feature = "full")]
pub mod api;
#[cfg(feature = "full")]
pub mod ask;
pub mod program;
#[cfg(feature = "full")]
pub mod provider;
pub mod raw;
#[cfg(feature = "full")]
pub mod stub;
pub mod token;

/// The root folder of the repository.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
