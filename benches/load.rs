//! What a server does with a layer and without: `cargo bench -p tower-auth-benches --bench load`.
//!
//! An axum server and 16 clients in one process, over loopback, each configuration in turn and all of them fifteen times. Read
//! it as ratios to the first line, which are the medians of each round's; clients take their share of the cores, too.

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
    /// Of each round: requests a second, and the 50th and 99th percentile in microseconds.
    rounds: Vec<[f64; 3]>,
}

#[tokio::main]
async fn main() {
    let hmac = Signer::generate("HS256", "1");
    let rsa = Signer::generate("RS256", "1");
    let cache = || TokenCache::new(1 << 20).cache_hmac();
    let mut cases = vec![
        case("none", &rsa, None).await,
        case("HS256", &hmac, Some(tokens(&hmac))).await,
        case("HS256, cached", &hmac, Some(tokens(&hmac).cache(cache()))).await,
        case("RS256", &rsa, Some(tokens(&rsa))).await,
        case("RS256, cached", &rsa, Some(tokens(&rsa).cache(cache()))).await,
    ];
    for _ in 0..ROUNDS {
        for case in &mut cases {
            let round = load(case.address, &case.request).await;
            case.rounds.push(round);
        }
    }
    let base: Vec<_> = cases[0].rounds.iter().map(|round| round[0]).collect();
    println!("{:<14} {:>10} {:>7} {:>9} {:>9}", "", "requests/s", "ratio", "p50 µs", "p99 µs");
    for Case { name, rounds, .. } in &cases {
        let [rate, p50, p99] = [0, 1, 2].map(|of| median(rounds.iter().map(|round| round[of])));
        let ratio = median(rounds.iter().zip(&base).map(|(round, base)| round[0] / base));
        println!("{name:<14} {rate:>10.0} {ratio:>7.3} {p50:>9.0} {p99:>9.0}");
    }
}

fn tokens(signer: &Signer) -> JwtAuthBuilder {
    let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
    JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE)
}

/// Requests have a token everywhere, so that the server without a layer reads as much as the others do.
async fn case(name: &'static str, signer: &Signer, tokens: Option<JwtAuthBuilder>) -> Case {
    let mut app = Router::new().route("/", get(async || "ok"));
    if let Some(tokens) = tokens {
        app = app.layer(AuthenticateLayer::new(tokens.build().unwrap()));
    }
    let authorization = format!("authorization: Bearer {}\r\n", signer.token(&usual_claims()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, app).into_future());
    let request = format!("GET / HTTP/1.1\r\nhost: x\r\n{authorization}\r\n").into_bytes();
    Case { name, address, request, rounds: Vec::new() }
}

async fn load(address: SocketAddr, request: &[u8]) -> [f64; 3] {
    let mut clients = JoinSet::new();
    let begin = Instant::now();
    for _ in 0..CLIENTS {
        clients.spawn(client(address, request.to_vec(), begin + ROUND));
    }
    let mut latencies: Vec<_> = clients.join_all().await.into_iter().flatten().collect();
    let seconds = begin.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100].as_secs_f64() * 1e6;
    [latencies.len() as f64 / seconds, at(50), at(99)]
}

/// Asks one question after the other on one connection. All answers are as long as the first.
async fn client(address: SocketAddr, request: Vec<u8>, end: Instant) -> Vec<Duration> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(&request).await.unwrap();
    let mut answer = vec![0; 1024];
    let length = stream.read(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200") && answer[..length].ends_with(b"ok"));
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let begin = Instant::now();
        stream.write_all(&request).await.unwrap();
        stream.read_exact(&mut answer[..length]).await.unwrap();
        latencies.push(begin.elapsed());
    }
    latencies
}

fn median(of: impl Iterator<Item = f64>) -> f64 {
    let mut all: Vec<_> = of.collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}
