//! Runs the example with oidc-provider. The tests in `pages.rs` and `attacks.rs` need Chromium, and
//! those in `instances.rs` Redis; `tests/e2e/README.md` describes how to install them.

mod attacks;
mod browser;
mod instances;
mod pages;
mod provider;
mod service;
