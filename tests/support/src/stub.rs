//! A stub server on loopback that publishes keys and simulates faults, and a clock for tests.

use std::{
    collections::HashMap,
    future::Future,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Request, Response, StatusCode, header},
};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime::Runtime};

/// The response to every request for one path.
#[derive(Clone)]
pub enum StubResponse {
    /// This body, or 304 if the request has the current `ETag`.
    Document(String),
    Status(u16),
    /// No response until another one is set.
    Hang,
    /// A head and a part of the body, then a closed connection.
    Drop,
    /// A body of this many bytes.
    Large(u64),
    Redirect(String),
}

/// A server that runs until its last clone is dropped. Paths without a response return 404.
#[derive(Clone)]
pub struct StubServer(Arc<StubState>);

struct StubState {
    address: SocketAddr,
    responses: Mutex<HashMap<String, StubResponse>>,
    /// Headers of every response.
    headers: Mutex<HeaderMap>,
    /// The requested paths, in order.
    requested_paths: Mutex<Vec<String>>,
    /// Number of 304 responses.
    not_modified: AtomicU64,
    changed: tokio::sync::Notify,
    /// A separate runtime, so that a blocked test runtime does not block the server.
    runtime: Mutex<Option<Runtime>>,
}

impl Drop for StubState {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.get_mut().unwrap().take() {
            runtime.shutdown_background();
        }
    }
}

impl StubServer {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let server = Self(Arc::new(StubState {
            address: listener.local_addr().unwrap(),
            responses: Mutex::default(),
            headers: Mutex::default(),
            requested_paths: Mutex::default(),
            not_modified: AtomicU64::new(0),
            changed: tokio::sync::Notify::new(),
            runtime: Mutex::new(None),
        }));
        let app = Router::new().fallback(respond).with_state(Arc::downgrade(&server.0));
        runtime.spawn(async move {
            axum::serve(TcpListener::from_std(listener).unwrap(), app).await.unwrap();
        });
        *server.0.runtime.lock().unwrap() = Some(runtime);
        server
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.0.address)
    }

    pub fn set_response(&self, path: &str, response: StubResponse) {
        self.0.responses.lock().unwrap().insert(path.to_owned(), response);
        self.0.changed.notify_waiters();
    }

    /// Sets a header of all later responses.
    pub fn set_header(&self, name: header::HeaderName, value: &str) {
        self.0.headers.lock().unwrap().insert(name, value.parse().unwrap());
    }

    /// Publishes these keys at `/jwks`.
    pub fn publish_keys(&self, keys: impl IntoIterator<Item = Value>) {
        let keys: Vec<_> = keys.into_iter().collect();
        self.set_response("/jwks", StubResponse::Document(json!({ "keys": keys }).to_string()));
    }

    /// Publishes OpenID Connect metadata for the issuer at this path. Returns the issuer URL.
    pub fn publish_metadata(&self, path: &str) -> String {
        let issuer = self.url(path);
        let metadata = json!({ "issuer": issuer, "jwks_uri": self.url("/jwks") });
        self.set_response(
            &format!("{path}/.well-known/openid-configuration"),
            StubResponse::Document(metadata.to_string()),
        );
        issuer
    }

    /// Returns how often this path was requested.
    pub fn hits(&self, path: &str) -> usize {
        self.0.requested_paths.lock().unwrap().iter().filter(|other| *other == path).count()
    }

    /// Returns the requested paths, in order.
    pub fn requested_paths(&self) -> Vec<String> {
        self.0.requested_paths.lock().unwrap().clone()
    }

    /// Returns the number of 304 responses.
    pub fn not_modified(&self) -> u64 {
        self.0.not_modified.load(Ordering::SeqCst)
    }
}

async fn respond(
    State(stub): State<std::sync::Weak<StubState>>,
    request: Request<Body>,
) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let request_etag = request.headers().get(header::IF_NONE_MATCH).cloned();
    if let Some(stub) = stub.upgrade() {
        stub.requested_paths.lock().unwrap().push(path.clone());
    }
    loop {
        let Some(stub) = stub.upgrade() else { return Response::new(Body::empty()) };
        let mut response = Response::new(Body::empty());
        *response.headers_mut() = stub.headers.lock().unwrap().clone();
        let stub_response = stub.responses.lock().unwrap().get(&path).cloned();
        match stub_response {
            None => *response.status_mut() = StatusCode::NOT_FOUND,
            Some(StubResponse::Document(json)) => {
                let etag = response.headers().get(header::ETAG);
                if etag.is_some() && etag == request_etag.as_ref() {
                    stub.not_modified.fetch_add(1, Ordering::SeqCst);
                    *response.status_mut() = StatusCode::NOT_MODIFIED;
                } else {
                    *response.body_mut() = json.into();
                }
            }
            Some(StubResponse::Status(status)) => {
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
            }
            Some(StubResponse::Hang) => {
                stub.changed.notified().await;
                continue;
            }
            Some(StubResponse::Drop) => {
                let parts = [
                    Ok(Bytes::from_static(b"{\"keys\": [")),
                    Err(std::io::Error::other("dropped")),
                ];
                *response.body_mut() = Body::from_stream(stream::iter(parts));
            }
            Some(StubResponse::Large(bytes)) => {
                let chunk = Bytes::from(vec![b' '; 64 * 1024]);
                let chunks =
                    (0..bytes / (64 * 1024)).map(move |_| Ok::<_, std::io::Error>(chunk.clone()));
                *response.body_mut() = Body::from_stream(stream::iter(chunks));
            }
            Some(StubResponse::Redirect(to)) => {
                *response.status_mut() = StatusCode::FOUND;
                response.headers_mut().insert(header::LOCATION, to.parse().unwrap());
            }
        }
        return response;
    }
}

/// The system clock plus an offset that tests change.
#[derive(Clone, Default)]
pub struct ShiftedClock(Arc<AtomicU64>);

impl ShiftedClock {
    pub fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    pub fn set_back(&self, seconds: u64) {
        self.0.fetch_sub(seconds * 1000, Ordering::SeqCst);
    }

    pub fn clock(&self) -> impl Fn() -> SystemTime + Send + Sync + 'static {
        let offset_ms = Arc::clone(&self.0);
        move || SystemTime::now() + Duration::from_millis(offset_ms.load(Ordering::SeqCst))
    }
}

/// Waits until the condition holds.
///
/// # Panics
///
/// If the condition does not hold within 20 seconds.
pub async fn wait_until<F: Future<Output = bool>>(
    description: &str,
    mut condition: impl FnMut() -> F,
) {
    let wait = async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .unwrap_or_else(|_| panic!("timed out: {description}"));
}
