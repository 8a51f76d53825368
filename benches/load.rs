//! Measures the throughput and latency of an axum server with and without a layer.
//!
//! `cargo bench -p tower-auth-benches --bench load` runs the server and 16 clients in one process,
//! over loopback. It measures each configuration in turn, in 15 rounds, and prints the medians.
//! Compare the ratios to the first line: the clients use the same cores as the server.

use std::{
    future::IntoFuture as _,
    net::SocketAddr,
    time::{Duration, Instant},
};

use axum::{Router, routing::get};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tower_auth::{
    AuthenticateLayer, JwtAuth,
    jwt::{JwtAuthBuilder, Keys, TokenCache},
};
use tower_auth_test_support::token::{AUDIENCE, ISSUER, Signer, usual_claims};

const CLIENTS: usize = 16;
const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(300);

struct Case {
    name: &'static str,
    address: SocketAddr,
    request: Vec<u8>,
    /// For each round: requests per second, and the 50th and 99th percentile in microseconds.
    rounds: Vec<[f64; 3]>,
}

#[tokio::main]
async fn main() {
    let hmac = Signer::generate("HS256", "1");
    let rsa = Signer::generate("RS256", "1");
    let cache = || TokenCache::new(1 << 20).cache_hmac();
    let mut cases = vec![
        prepare("none", &rsa, None).await,
        prepare("HS256", &hmac, Some(jwt_auth(&hmac))).await,
        prepare("HS256, cached", &hmac, Some(jwt_auth(&hmac).cache(cache()))).await,
        prepare("RS256", &rsa, Some(jwt_auth(&rsa))).await,
        prepare("RS256, cached", &rsa, Some(jwt_auth(&rsa).cache(cache()))).await,
    ];
    for _ in 0..ROUNDS {
        for case in &mut cases {
            case.rounds.push(run_round(case.address, &case.request).await);
        }
    }
    let base: Vec<_> = cases[0].rounds.iter().map(|round| round[0]).collect();
    println!(
        "{:<14} {:>10} {:>16} {:>7} {:>7}",
        "", "requests/s", "relative to none", "p50 µs", "p99 µs"
    );
    for Case { name, rounds, .. } in &cases {
        let [rate, p50, p99] =
            [0, 1, 2].map(|index| median(rounds.iter().map(|round| round[index])));
        let ratio = median(rounds.iter().zip(&base).map(|(round, base)| round[0] / base));
        println!("{name:<14} {rate:>10.0} {ratio:>16.3} {p50:>7.0} {p99:>7.0}");
    }
}

fn jwt_auth(signer: &Signer) -> JwtAuthBuilder {
    let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
    JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE)
}

/// Starts a server. Requests to a server without a layer have a token, too, so that all servers
/// read the same number of bytes.
async fn prepare(name: &'static str, signer: &Signer, builder: Option<JwtAuthBuilder>) -> Case {
    let mut app = Router::new().route("/", get(async || "ok"));
    if let Some(builder) = builder {
        app = app.layer(AuthenticateLayer::new(builder.build().unwrap()));
    }
    let authorization = format!("authorization: Bearer {}\r\n", signer.token(&usual_claims()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, app).into_future());
    let request = format!("GET / HTTP/1.1\r\nhost: x\r\n{authorization}\r\n").into_bytes();
    Case { name, address, request, rounds: Vec::new() }
}

async fn run_round(address: SocketAddr, request: &[u8]) -> [f64; 3] {
    let mut clients = JoinSet::new();
    let start = Instant::now();
    for _ in 0..CLIENTS {
        clients.spawn(client(address, request.to_vec(), start + ROUND));
    }
    let mut latencies: Vec<_> = clients.join_all().await.into_iter().flatten().collect();
    let seconds = start.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let percentile =
        |percent: usize| latencies[(latencies.len() - 1) * percent / 100].as_secs_f64() * 1e6;
    [latencies.len() as f64 / seconds, percentile(50), percentile(99)]
}

/// Sends one request after the other on one connection, and returns the latencies.
///
/// All responses must be as long as the first.
async fn client(address: SocketAddr, request: Vec<u8>, end: Instant) -> Vec<Duration> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(&request).await.unwrap();
    let mut response = vec![0; 1024];
    let length = stream.read(&mut response).await.unwrap();
    assert!(response.starts_with(b"HTTP/1.1 200") && response[..length].ends_with(b"ok"));
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let start = Instant::now();
        stream.write_all(&request).await.unwrap();
        stream.read_exact(&mut response[..length]).await.unwrap();
        latencies.push(start.elapsed());
    }
    latencies
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
