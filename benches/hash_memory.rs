//! Measures the memory that password hashing takes under concurrent requests.
//!
//! `cargo bench -p tower-auth-benches --bench hash_memory` fails if the peak grows by more than
//! the memory of one hash, times the number of permits plus one. It runs on Linux only, where
//! the kernel reports the peak memory of a process.
//!
//! Each case runs in its own process, because a peak never falls.

use std::{env, fs, process::Command};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::future::join_all;
use http::{Request, header::AUTHORIZATION};
use tower_auth::{
    Authenticator, BasicAuth, RejectionKind,
    password::{HashVerifier, HashedUsers},
};

const REQUESTS: usize = 32;
/// Permits, MiB per hash, and rounds of `REQUESTS` concurrent requests.
const CASES: [(usize, usize, usize); 4] = [(1, 64, 1), (2, 64, 1), (4, 64, 1), (2, 19, 4)];

fn main() {
    if peak_memory().is_none() {
        println!("skipped: /proc/self/status does not contain VmHWM");
        return;
    }
    if let Some(case) = env::var(CASE).ok().and_then(|case| case.parse::<usize>().ok()) {
        println!("{}", peak_growth(CASES[case]));
        return;
    }
    println!("{:>8}{:>10}{:>10}{:>12}{:>9}", "permits", "per hash", "requests", "growth", "limit");
    let mut bounded = true;
    for (case, (permits, size, rounds)) in CASES.into_iter().enumerate() {
        let executable = env::current_exe().unwrap();
        let output = Command::new(executable).env(CASE, case.to_string()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let growth: usize = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
        let (limit, requests) = ((permits + 1) * size, REQUESTS * rounds);
        println!("{permits:>8}{size:>6} MiB{requests:>10}{growth:>8} MiB{limit:>5} MiB");
        assert!(growth > size / 2, "no password was hashed");
        bounded &= growth < limit;
    }
    assert!(bounded, "hashing takes more memory than the permits allow");
}

/// The environment variable that tells a child process which case to run.
const CASE: &str = "HASH_MEMORY_CASE";

/// Returns by how many MiB the peak memory of this process grows under concurrent requests.
fn peak_growth((permits, size, rounds): (usize, usize, usize)) -> usize {
    let params = format!("m={},t=1,p=1", size * 1024);
    let hash = format!(
        "$argon2id$v=19${params}$dG93ZXItYXV0aC1kZWNveQ$bm9ib2R5LWhhcy10aGlzLXBhc3N3b3JkLWV2ZXItLS0"
    );
    let users = HashedUsers::new([("alice", hash)]).unwrap();
    let verifier = HashVerifier::new(users).permits(permits).queue(REQUESTS);
    let staff = BasicAuth::new("staff", verifier).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let before = peak_memory().unwrap();
    for round in 0..rounds {
        let checks = (0..REQUESTS).map(|index| {
            // Half of the requests are for an unknown user. They are hashed, too.
            let user_id = ["alice", "bob"][index % 2];
            let sent = STANDARD.encode(format!("{user_id}:wrong {round} {index}"));
            let request = Request::builder().header(AUTHORIZATION, format!("Basic {sent}"));
            let head = request.body(()).unwrap().into_parts().0;
            staff.authenticate(&head).unwrap()
        });
        let checks: Vec<_> = checks.collect();
        for result in runtime.block_on(join_all(checks)) {
            assert_eq!(result.into_result().unwrap_err().kind(), RejectionKind::InvalidCredentials);
        }
    }
    (peak_memory().unwrap() - before) / 1024
}

/// Returns the peak memory of this process in KiB.
fn peak_memory() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
