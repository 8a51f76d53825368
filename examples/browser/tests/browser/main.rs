//! Tests of the example, and of the cross-site check, with a real browser. `tests/e2e/README.md`
//! describes what must be installed. The tests in `plain.rs` need no browser.

mod attacks;
mod page;
mod plain;
mod protocol;
mod site;
#[path = "../../tls.rs"]
mod tls;
