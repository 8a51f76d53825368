//! A TCP proxy that delays and breaks connections.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::sleep,
};

/// Forwards the connections to a loopback port. It runs until the test's runtime ends.
#[derive(Clone)]
pub struct Proxy {
    pub port: u16,
    state: Arc<State>,
}

struct State {
    delay_millis: AtomicU64,
    /// A text in a request that is forwarded, but whose answer is discarded.
    unanswered: Mutex<Option<String>>,
    /// Counts how often all connections were closed.
    resets: watch::Sender<u64>,
    connections: Mutex<u64>,
}

impl Proxy {
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = Arc::new(State {
            delay_millis: AtomicU64::new(0),
            unanswered: Mutex::default(),
            resets: watch::channel(0).0,
            connections: Mutex::new(0),
        });
        let proxy = Self { port: listener.local_addr().unwrap().port(), state };
        tokio::spawn(proxy.clone().accept(listener, port));
        proxy
    }

    /// Delays each answer of the server.
    pub fn set_delay(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).unwrap();
        self.state.delay_millis.store(millis, Ordering::Relaxed);
    }

    /// Closes all connections.
    pub fn reset(&self) {
        self.state.resets.send_modify(|count| *count += 1);
    }

    /// Discards the answer to the next request that contains this text, and closes its connection.
    /// The server has executed the request.
    pub fn discard_answer_to(&self, text: &str) {
        *self.state.unanswered.lock().unwrap() = Some(text.to_owned());
    }

    /// Returns how many connections were accepted.
    pub fn connections(&self) -> u64 {
        *self.state.connections.lock().unwrap()
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    async fn accept(self, listener: TcpListener, port: u16) {
        while let Ok((client, _)) = listener.accept().await {
            *self.state.connections.lock().unwrap() += 1;
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
                continue;
            };
            tokio::spawn(self.clone().forward(client, server));
        }
    }

    async fn forward(self, client: TcpStream, server: TcpStream) {
        let mut resets = self.state.resets.subscribe();
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        let discards_answer = AtomicBool::new(false);
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let answers = async {
            let mut buffer = vec![0; 1 << 16];
            loop {
                let length = from_server.read(&mut buffer).await?;
                if length == 0 || discards_answer.load(Ordering::Relaxed) {
                    return io::Result::Ok(());
                }
                let delay = self.state.delay_millis.load(Ordering::Relaxed);
                if delay > 0 {
                    sleep(Duration::from_millis(delay)).await;
                }
                to_client.write_all(&buffer[..length]).await?;
            }
        };
        let requests = async {
            let mut buffer = vec![0; 1 << 16];
            loop {
                let length = from_client.read(&mut buffer).await?;
                if length == 0 {
                    return io::Result::Ok(());
                }
                if self.state.is_unanswered(&buffer[..length]) {
                    discards_answer.store(true, Ordering::Relaxed);
                }
                to_server.write_all(&buffer[..length]).await?;
            }
        };
        tokio::select! {
            _ = requests => {}
            _ = answers => {}
            _ = resets.changed() => {}
        }
    }
}

impl State {
    fn is_unanswered(&self, request: &[u8]) -> bool {
        let mut unanswered = self.unanswered.lock().unwrap();
        let contains =
            |text: &String| request.windows(text.len()).any(|part| part == text.as_bytes());
        unanswered.take_if(|text| contains(text)).is_some()
    }
}
