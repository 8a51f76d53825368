//! Runs the example. The tests in `page.rs` need Chromium, and those in `instances.rs` Redis;
//! `tests/e2e/README.md` describes how to install them.

mod command_line;
mod exchange;
mod instances;
mod interface;
mod keys;
mod page;
mod service;
