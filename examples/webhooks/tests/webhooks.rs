//! Runs the commands that the example prints, with each store.

use tower_auth_test_support::{
    program::{Program, run_curl_lines},
    redis::RedisServer,
};

const LINES: usize = 17;

fn start(env: &[(&str, &str)]) -> Program {
    Program::start_with_env(env!("CARGO_BIN_EXE_webhooks"), &["127.0.0.1:0"], env)
}

#[test]
fn commands_return_the_printed_status_with_memory() {
    run_curl_lines(start(&[]), LINES);
}

#[test]
fn commands_return_the_printed_status_with_redis() {
    let Some(redis) = RedisServer::redis(&[]) else { return };
    let (url, file) = (redis.url(), redis.path("secret"));
    let env = [("REDIS_URL", &*url), ("STORE_SECRET_FILE", file.to_str().unwrap())];
    for _ in 0..2 {
        run_curl_lines(start(&env), LINES);
    }
}

#[test]
fn redis_without_a_secret_file_ends_with_what_to_set() {
    let (errors, success) = start(&[("REDIS_URL", "redis://127.0.0.1:6379")]).wait();
    assert!(!success && errors.contains("STORE_SECRET_FILE"), "{errors}");
}
