//! Runs the `curl` lines that the example prints, with each store.

use std::{
    net::TcpStream,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tower_auth_test_support::{
    program::{Program, free_port, run_curl_lines},
    skip,
};

const LINES: usize = 20;
const ANY_PORTS: [&str; 2] = ["127.0.0.1:0"; 2];

fn start(arguments: &[&str]) -> Program {
    let arguments = [arguments, &ANY_PORTS].concat();
    Program::start(env!("CARGO_BIN_EXE_revocation"), &arguments)
}

#[test]
fn curl_lines_return_the_printed_status_with_memory() {
    run_curl_lines(start(&[]), LINES);
    run_curl_lines(start(&["--store", "memory"]), LINES);
}

#[test]
fn curl_lines_return_the_printed_status_with_redis() {
    let Some(redis) = Redis::start() else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    let (url, file) = (format!("redis://127.0.0.1:{}", redis.port), file.to_str().unwrap());
    // The second process uses the same store and the secret that the first one has created.
    let [first, second] = [(); 2].map(|()| start(&["--store", &url, "--secret-file", file]));
    run_curl_lines(first, LINES);
    run_curl_lines(second, LINES);
}

#[test]
fn redis_without_a_secret_file_ends_with_what_to_set() {
    let (errors, success) = start(&["--store", "redis://127.0.0.1:6379"]).wait();
    assert!(!success && errors.contains("--secret-file"), "{errors}");
}

#[test]
fn unknown_option_or_too_many_addresses_end_with_an_error() {
    for (arguments, reason) in
        [(["--stores", "memory"], "--stores"), (["127.0.0.1:0", "127.0.0.1:0"], "two addresses")]
    {
        let (errors, success) = start(&arguments).wait();
        assert!(!success && errors.contains(reason), "{errors}");
    }
}

/// A running server. Dropping it kills the process.
struct Redis {
    process: Child,
    port: u16,
}

impl Redis {
    /// Starts a server, or skips the test if it is not installed.
    fn start() -> Option<Self> {
        let port = free_port();
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .stdout(Stdio::null())
            .spawn();
        let Ok(process) = process else {
            skip("redis-server is not installed");
            return None;
        };
        let redis = Self { process, port };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "redis-server does not listen");
            thread::yield_now();
        }
        Some(redis)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
