//! Runs the commands that the example prints, with certificates that its script creates.

use std::{path::Path, process::Command};

use tempfile::TempDir;
use tower_auth_test_support::{
    program::{Program, run_curl_lines},
    skip,
};

const LINES: usize = 5;

/// Returns `None` and reports that the test is skipped if openssl or curl is not installed.
fn certificates() -> Option<TempDir> {
    for (program, argument) in [("openssl", "version"), ("curl", "--version")] {
        if Command::new(program).arg(argument).output().is_err() {
            skip(&format!("{program} is not installed"));
            return None;
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("certificates.sh");
    let output = Command::new("sh").arg(script).arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(folder)
}

fn start(folder: &TempDir, options: &[&str]) -> Program {
    let arguments = [&[folder.path().to_str().unwrap(), "127.0.0.1:0"], options].concat();
    Program::start(env!("CARGO_BIN_EXE_mtls"), &arguments)
}

#[test]
fn commands_return_the_printed_status_with_axum_and_hyper() {
    let Some(folder) = certificates() else { return };
    run_curl_lines(start(&folder, &[]), LINES);
    run_curl_lines(start(&folder, &["--hyper"]), LINES);
}

#[test]
fn certificate_of_another_authority_fails_in_the_handshake() {
    let (Some(folder), Some(other)) = (certificates(), certificates()) else { return };
    for options in [&[][..], &["--hyper"]] {
        let mut server = start(&folder, options);
        let address = server.address();
        let curl = |client: &TempDir| {
            let mut command = Command::new("curl");
            let command = command.args(["-s", "--cacert"]).arg(folder.path().join("ca.pem"));
            let command = command.arg("--cert").arg(client.path().join("shop.pem"));
            let command = command.arg("--key").arg(client.path().join("shop.key"));
            let output = command.arg(format!("https://{address}/orders")).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(curl(&folder), "hello spiffe://prod.example/shop\n");
        assert_eq!(curl(&other), "");
    }
}
