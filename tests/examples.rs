//! The examples do what they print.

mod common;

use std::{io::Write, process::Command};

use crate::common::program::Program;

#[test]
fn each_curl_line_of_protected_api_gives_its_status() {
    run_curl_lines("protected_api", &["127.0.0.1:0"], 9);
}

#[test]
fn each_curl_line_of_accounts_gives_its_status() {
    run_curl_lines("accounts", &["127.0.0.1:0"], 4);
}

/// Its issuer is not asked before somebody brings a token.
#[test]
fn each_curl_line_of_mcp_server_gives_its_status() {
    run_curl_lines("mcp_server", &["http://127.0.0.1:9", "127.0.0.1:0"], 2);
}

/// Runs the lines as they are pasted, with a shell, and with the real curl.
fn run_curl_lines(example: &str, args: &[&str], lines: usize) {
    if Command::new("curl").arg("--version").output().is_err() {
        let _ = writeln!(std::io::stderr(), "skipped: there is no curl on this machine");
        return;
    }
    let mut program = Program::start(example, args);
    program.address();
    for _ in 0..lines {
        let line = program.line().unwrap();
        let (command, status) = line.rsplit_once(" # ").unwrap();
        assert!(command.starts_with("curl "), "{line}");
        let output = Command::new("sh").args(["-c", &line]).output().unwrap();
        let answer = String::from_utf8(output.stdout).unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(status), "{line}\n{answer}");
    }
}
