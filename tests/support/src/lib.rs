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

/// Reports that a test is skipped because something is missing on this machine.
///
/// # Panics
///
/// If the environment variable `CI` is set, because CI installs all tools.
pub fn skip(reason: &str) {
    assert!(std::env::var_os("CI").is_none(), "skipped in CI: {reason}");
    // `eprintln!` would be captured by the test harness.
    let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("skipped: {reason}\n"));
}
