//! Runs the `curl` lines that the example prints, with each store.

use tower_auth_test_support::{
    program::{Program, run_curl_lines},
    redis::RedisServer,
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
    let Some(redis) = RedisServer::redis(&[]) else { return };
    let (url, file) = (redis.url(), redis.path("secret"));
    let file = file.to_str().unwrap();
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
