//! How much memory hashing takes, however many ask: `cargo bench -p tower-auth-benches --bench hash_memory`. It fails where that is more than
//! permits and one more times what one hash takes. On Linux only, which tells a process's peak.
//!
//! Each row is a process of its own, since a peak never falls.

use std::{env, fs, process::Command};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::future::join_all;
use http::{Request, header::AUTHORIZATION};
use tower_auth::{
    Authenticator, BasicAuth, RejectionKind,
    password::{HashVerifier, HashedUsers},
};

const ASKING: usize = 32;
/// Permits, MiB of a hash, and how often all ask, one time after the other.
const CASES: [(usize, usize, usize); 4] = [(1, 64, 1), (2, 64, 1), (4, 64, 1), (2, 19, 4)];

fn main() {
    if peak().is_none() {
        println!("skipped: there is no /proc/self/status that tells the peak");
        return;
    }
    if let Some(case) = env::var(CASE).ok().and_then(|case| case.parse::<usize>().ok()) {
        println!("{}", grown(CASES[case]));
        return;
    }
    println!("{:>8}{:>10}{:>8}{:>12}{:>9}", "permits", "a hash", "asked", "peak grew", "limit");
    let mut bounded = true;
    for (case, (permits, size, rounds)) in CASES.into_iter().enumerate() {
        let this = env::current_exe().unwrap();
        let out = Command::new(this).env(CASE, case.to_string()).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let grown: usize = String::from_utf8(out.stdout).unwrap().trim().parse().unwrap();
        let (limit, asked) = ((permits + 1) * size, ASKING * rounds);
        println!("{permits:>8}{size:>6} MiB{asked:>8}{grown:>8} MiB{limit:>5} MiB");
        assert!(grown > size / 2, "nothing was hashed");
        bounded &= grown < limit;
    }
    assert!(bounded, "hashes take more memory than their permits say");
}

/// Says to a process which case is its own.
const CASE: &str = "HASH_MEMORY_CASE";

/// By how many MiB this process's peak grows while all ask at once.
fn grown((permits, size, rounds): (usize, usize, usize)) -> usize {
    let params = format!("m={},t=1,p=1", size * 1024);
    let hash = format!(
        "$argon2id$v=19${params}$dG93ZXItYXV0aC1kZWNveQ$bm9ib2R5LWhhcy10aGlzLXBhc3N3b3JkLWV2ZXItLS0"
    );
    let users = HashedUsers::new([("alice", hash)]).unwrap();
    let verifier = HashVerifier::new(users).permits(permits).queue(ASKING);
    let staff = BasicAuth::new("staff", verifier).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let before = peak().unwrap();
    for round in 0..rounds {
        let checks = (0..ASKING).map(|at| {
            // Half are nobody's, and each is hashed.
            let user_id = ["alice", "bob"][at % 2];
            let sent = STANDARD.encode(format!("{user_id}:wrong {round} {at}"));
            let request = Request::builder().header(AUTHORIZATION, format!("Basic {sent}"));
            let head = request.body(()).unwrap().into_parts().0;
            staff.authenticate(&head).unwrap()
        });
        let checks: Vec<_> = checks.collect();
        for answer in runtime.block_on(join_all(checks)) {
            assert_eq!(answer.unwrap_err().kind(), RejectionKind::InvalidCredentials);
        }
    }
    (peak().unwrap() - before) / 1024
}

/// The most memory that this process has had so far, in KiB.
fn peak() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
