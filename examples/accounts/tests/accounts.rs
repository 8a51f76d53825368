//! Runs the `curl` lines that the example prints.

use tower_auth_test_support::program::{Program, run_curl_lines};

#[test]
fn accounts_curl_lines_return_the_printed_status() {
    run_curl_lines(Program::start(env!("CARGO_BIN_EXE_accounts"), &["127.0.0.1:0"]), 4);
}
