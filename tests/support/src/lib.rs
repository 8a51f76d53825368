//! Shared by tests and benches: child processes, raw HTTP/1.1 requests, a token signer, interleaved
//! measurements and, with the feature `full`, servers on loopback.
#![allow(clippy::new_without_default)]

#[cfg(feature = "full")]
pub mod api;
#[cfg(feature = "full")]
pub mod authenticate;
pub mod chromium;
pub mod cookies;
pub mod dpop;
#[cfg(feature = "issue")]
pub mod issuer_processes;
#[cfg(feature = "full")]
pub mod nginx;
#[cfg(feature = "full")]
pub mod oidc_stub;
#[cfg(feature = "full")]
pub mod openssl;
pub mod program;
#[cfg(feature = "full")]
pub mod provider;
#[cfg(feature = "full")]
pub mod proxy;
pub mod random;
pub mod raw;
#[cfg(feature = "full")]
pub mod redis;
pub mod rounds;
#[cfg(feature = "full")]
pub mod store;
#[cfg(feature = "full")]
pub mod stub;
pub mod token;
#[cfg(feature = "full")]
pub mod user_agent;

/// The root folder of the repository.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Reports that a test is skipped because a tool is not installed.
///
/// # Panics
///
/// If the environment variable `CI` is `true`, because CI installs all tools.
pub fn skip(reason: &str) {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "skipped in CI: {reason}");
    // The test harness captures `eprintln!`.
    let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("skipped: {reason}\n"));
}

/// Returns whether Node.js and a package of `tests/e2e` exist, and reports a skipped test if not.
pub fn has_node(package: &str) -> bool {
    let node = std::process::Command::new("node").arg("--version").output();
    let packages = std::path::Path::new(ROOT).join("tests/e2e/node_modules");
    let is_installed = node.is_ok() && packages.join(package).exists();
    if !is_installed {
        skip("install Node.js, and run `npm ci` in tests/e2e");
    }
    is_installed
}

/// Compiles the examples in the guide to WebSockets, which need axum's feature `ws`. The published
/// package would need 20 more crates for it.
#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../../../src/guide/websockets.md")]
struct WebSocketsGuide;
