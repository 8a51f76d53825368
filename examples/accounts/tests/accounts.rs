//! The program does what it prints.

use tower_auth_test_support::program::{Program, run_curl_lines};

#[test]
fn each_curl_line_of_accounts_gives_its_status() {
    run_curl_lines(Program::start(env!("CARGO_BIN_EXE_accounts"), &["127.0.0.1:0"]), 4);
}
