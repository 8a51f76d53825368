//! Measures the throughput, the latency and the CPU time of a server with whole requests: a token,
//! two scopes, a role, and six claims in the handler.
//!
//! `cargo bench -p tower-auth-benches --bench load` runs an axum server in a second process, and,
//! if it is installed, HAProxy with `jwt_verify`. 16 clients in this process send requests over
//! loopback. Every round measures every case once. Requests per second are compared with the open
//! server by the median of the ratios within a round. The CPU time is that of the server process,
//! in user space and in the kernel, for all rounds.
//!
//! HAProxy verifies the signature and checks `iss`, `aud`, `exp`, `nbf`, two scopes and the first
//! role, and returns a fixed response.

mod clients;
mod haproxy;
mod server;

use std::{fs, time::Duration};

use serde_json::{Value, json};
use tower_auth_test_support::{
    program::Program,
    raw::send,
    rounds::median,
    token::{Signer, encode, random, usual_claims},
};

use crate::clients::Round;

const ROUNDS: usize = 20;
/// The kernel reports the CPU time of a process in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

const SCOPES: [&str; 2] = ["orders:read", "orders:write"];
const ROLE: &str = "user";

/// One server, and the token of its clients.
struct Case {
    name: String,
    process: u32,
    address: String,
    token: String,
    rounds: Vec<Round>,
    cpu: Duration,
}

fn main() {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some(server::ARGUMENT) {
        server::run(&args.next().unwrap());
        return;
    }
    let hmac = Signer::secret("HS256", Some("hmac"), encode(random(32)).as_bytes());
    let rsa = Signer::generate("RS256", "rsa");

    let keys = json!({ "keys": [hmac.jwk(), rsa.jwk()] }).to_string();
    let program = std::env::current_exe().unwrap();
    let mut server = Program::start(program, &[server::ARGUMENT, &keys]);
    let mut cases: Vec<_> = server::CASES
        .iter()
        .map(|case| {
            let address = server.address();
            prepare(case.name, case.algorithm, &server, address, [&hmac, &rsa])
        })
        .collect();
    let haproxy = haproxy::start(&hmac, &rsa);
    match &haproxy {
        Some(haproxy) => {
            for (algorithm, address) in &haproxy.addresses {
                let name = format!("HAProxy, {}", algorithm.unwrap_or("open"));
                let address = address.clone();
                cases.push(prepare(&name, *algorithm, &haproxy.program, address, [&hmac, &rsa]));
            }
        }
        None => println!("haproxy is not installed, so its rows are left out\n"),
    }

    let clients = clients::Clients::new();
    for _ in 0..ROUNDS {
        for case in &mut cases {
            let before = cpu_time(case.process);
            case.rounds.push(clients.run_round(&case.address, &case.token));
            case.cpu += cpu_time(case.process) - before;
        }
    }
    print(&cases);
}

/// Checks that a server rejects what it must reject.
///
/// Requests to a server without a layer have a token, too, so that all servers read the same
/// number of bytes.
fn prepare(
    name: &str,
    algorithm: Option<&str>,
    server: &Program,
    address: String,
    signers: [&Signer; 2],
) -> Case {
    let [hmac, rsa] = signers;
    let signer = if algorithm == Some("HS256") { hmac } else { rsa };
    let claims = usual_claims();
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        signer.token(&claims)
    };
    let token = signer.token(&claims);
    let mut expected = vec![(token.clone(), 200)];
    if algorithm.is_some() {
        let forger = Signer::generate(signer.algorithm, signer.id.as_deref().unwrap());
        expected.extend([
            (forger.token(&claims), 401),
            (with("iss", json!("https://other.example")), 401),
            (with("aud", json!("https://other.example")), 401),
            (with("exp", json!(1_700_000_000)), 401),
            (with("scope", json!(SCOPES[0])), 403),
            (with("roles", json!(["guest"])), 403),
        ]);
    }
    for (token, status) in expected {
        let authorization = format!("Bearer {token}");
        let response = send(&address, "GET", "/", &[("authorization", &authorization)], "");
        assert_eq!(response.status, status, "{name}: {response:?}");
    }
    Case {
        name: name.to_owned(),
        process: server.id(),
        address,
        token,
        rounds: Vec::new(),
        cpu: Duration::ZERO,
    }
}

/// Returns the CPU time that a process has used.
fn cpu_time(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The second field, the name of the program, is in parentheses and can contain spaces. The
    // fields 14 and 15 are the times in user space and in the kernel.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks =
        fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u32>().unwrap());
    TICK * ticks.sum::<u32>()
}

fn print(cases: &[Case]) {
    println!("| | requests/s | relative to open | CPU per request, µs | p50, µs | p99, µs |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for case in cases {
        let requests: usize = case.rounds.iter().map(|round| round.requests).sum();
        println!(
            "| {} | {:.0} | {:.3} | {:.1} | {:.0} | {:.0} |",
            case.name,
            median(case.rounds.iter().map(|round| round.per_second)),
            ratio_to_open(cases, case),
            case.cpu.as_secs_f64() * 1e6 / requests as f64,
            median(case.rounds.iter().map(|round| round.p50)),
            median(case.rounds.iter().map(|round| round.p99)),
        );
    }
    println!();
    for case in cases.iter().filter(|case| case.name.ends_with("cached")) {
        let ratio = ratio_to_open(cases, case);
        let result = if ratio >= 0.95 { "met" } else { "missed" };
        println!("goal: {} at least 0.95 of open: {ratio:.3}, {result}", case.name);
    }
}

fn ratio_to_open(cases: &[Case], case: &Case) -> f64 {
    let rounds = case.rounds.iter().zip(&cases[0].rounds);
    median(rounds.map(|(round, open)| round.per_second / open.per_second))
}
