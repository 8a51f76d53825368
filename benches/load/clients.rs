//! Clients that send one request after the other, each on one connection.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime::Runtime,
    task::JoinSet,
};

const CLIENTS: usize = 16;
const ROUND: Duration = Duration::from_millis(400);

/// The result of one round. The latencies are percentiles in microseconds.
pub(crate) struct Round {
    pub(crate) requests: usize,
    pub(crate) per_second: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

pub(crate) struct Clients(Runtime);

impl Clients {
    pub(crate) fn new() -> Self {
        Self(Runtime::new().unwrap())
    }

    pub(crate) fn run_round(&self, address: &str, token: &str) -> Round {
        let request = format!("GET / HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n");
        self.0.block_on(async {
            let mut clients = JoinSet::new();
            let start = Instant::now();
            for _ in 0..CLIENTS {
                clients.spawn(client(address.to_owned(), request.clone(), start + ROUND));
            }
            let mut latencies: Vec<_> = clients.join_all().await.into_iter().flatten().collect();
            let seconds = start.elapsed().as_secs_f64();
            latencies.sort_unstable();
            let percentile = |percent: usize| {
                latencies[(latencies.len() - 1) * percent / 100].as_secs_f64() * 1e6
            };
            let requests = latencies.len();
            let per_second = requests as f64 / seconds;
            Round { requests, per_second, p50: percentile(50), p99: percentile(99) }
        })
    }
}

/// Returns the latencies. All responses must be as long as the first.
async fn client(address: String, request: String, end: Instant) -> Vec<Duration> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = vec![0; 1024];
    let length = stream.read(&mut response).await.unwrap();
    assert!(response.starts_with(b"HTTP/1.1 200") && response[..length].ends_with(b"ok"));
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let start = Instant::now();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.read_exact(&mut response[..length]).await.unwrap();
        latencies.push(start.elapsed());
    }
    latencies
}
