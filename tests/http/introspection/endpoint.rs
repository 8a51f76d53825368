//! An introspection endpoint that sends the responses of a script.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// What the endpoint sends for a token, before it closes the connection.
#[derive(Clone)]
pub(super) struct Script(pub(super) Vec<u8>);

impl Script {
    pub(super) fn json(body: &Value) -> Self {
        Self::respond(200, "application/json", &body.to_string())
    }

    pub(super) fn respond(status: u16, media_type: &str, body: &str) -> Self {
        let length = body.len();
        Self(
            format!(
                "HTTP/1.1 {status} X\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\n\
                 connection: close\r\n\r\n{body}"
            )
            .into(),
        )
    }
}

/// A request that the endpoint has received.
#[derive(Clone, Debug)]
pub(super) struct Recorded {
    /// The request line and the fields.
    pub(super) head: String,
    pub(super) form: HashMap<String, String>,
}

impl Recorded {
    pub(super) fn token(&self) -> &str {
        self.form.get("token").map_or("", |token| token)
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

#[derive(Clone)]
pub(super) struct Endpoint(Arc<State>);

struct State {
    address: std::net::SocketAddr,
    scripts: Mutex<HashMap<String, Vec<Script>>>,
    /// The response about tokens without a script.
    otherwise: Mutex<Script>,
    requests: Mutex<Vec<Recorded>>,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
    /// Tokens with this prefix wait for their response.
    held: watch::Sender<Option<&'static str>>,
}

impl Endpoint {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inactive = serde_json::json!({ "active": false });
        let endpoint = Self(Arc::new(State {
            address: listener.local_addr().unwrap(),
            scripts: Mutex::default(),
            otherwise: Mutex::new(Script::json(&inactive)),
            requests: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            most_in_flight: AtomicUsize::new(0),
            held: watch::channel(None).0,
        }));
        let server = endpoint.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(server.clone().respond(stream));
            }
        });
        endpoint
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.0.address)
    }

    /// Sets the response about a token. For a path, it is the response to each GET request for it.
    pub(super) fn set(&self, token: &str, script: Script) {
        self.set_all(token, vec![script]);
    }

    /// Sets the responses about a token, in order. The last one remains.
    pub(super) fn set_all(&self, token: &str, mut scripts: Vec<Script>) {
        scripts.reverse();
        self.0.scripts.lock().unwrap().insert(token.to_owned(), scripts);
    }

    /// Sets the response about tokens without one.
    pub(super) fn set_otherwise(&self, script: Script) {
        *self.0.otherwise.lock().unwrap() = script;
    }

    /// Holds the responses about all tokens with this prefix.
    pub(super) fn hold(&self, prefix: &'static str) {
        self.0.held.send_replace(Some(prefix));
    }

    pub(super) fn release(&self) {
        self.0.held.send_replace(None);
    }

    pub(super) fn requests(&self) -> Vec<Recorded> {
        self.0.requests.lock().unwrap().clone()
    }

    /// Waits until the endpoint has received this many requests.
    pub(super) async fn wait_for_requests(&self, count: usize) {
        tower_auth_test_support::stub::wait_until("requests to the endpoint", || {
            let received = self.0.requests.lock().unwrap().len();
            async move { received >= count }
        })
        .await;
    }

    pub(super) fn most_in_flight(&self) -> usize {
        self.0.most_in_flight.load(Ordering::SeqCst)
    }

    async fn respond(self, mut stream: TcpStream) {
        let Some(request) = receive(&mut stream).await else { return };
        let path = request.head.split(' ').nth(1).unwrap_or_default().to_owned();
        let key = if request.head.starts_with("POST") { request.token().to_owned() } else { path };
        self.0.requests.lock().unwrap().push(request);
        let in_flight = self.0.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most_in_flight.fetch_max(in_flight, Ordering::SeqCst);
        let mut held = self.0.held.subscribe();
        let is_free = |held: &Option<&str>| !held.is_some_and(|prefix| key.starts_with(prefix));
        let _ = held.wait_for(is_free).await;
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
        let script = {
            let mut scripts = self.0.scripts.lock().unwrap();
            match scripts.get_mut(&key) {
                Some(list) if list.len() > 1 => list.pop(),
                Some(list) => list.last().cloned(),
                None => None,
            }
        };
        let script = script.unwrap_or_else(|| self.0.otherwise.lock().unwrap().clone());
        let _ = stream.write_all(&script.0).await;
        let _ = stream.shutdown().await;
    }
}

async fn receive(stream: &mut TcpStream) -> Option<Recorded> {
    let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&received);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                let form = url_decoded(body);
                return Some(Recorded { head: head.to_owned(), form });
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => received.extend_from_slice(&buffer[..count]),
        }
    }
}

/// Decodes a form.
fn url_decoded(form: &str) -> HashMap<String, String> {
    let url = reqwest::Url::parse(&format!("http://x/?{form}")).unwrap();
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}
