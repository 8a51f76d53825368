//! An issuer whose faults are ours to choose, on loopback.

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

/// What becomes of a request.
#[derive(Clone)]
pub enum Answer {
    Document(String),
    Status(u16),
    /// Never, until something else is set.
    Hang,
    /// A head, a part of the body, and the end of the connection.
    Drop,
    /// So many bytes.
    Endless(u64),
    Redirect(String),
}

#[derive(Clone)]
pub struct Stub(Arc<Inner>);

struct Inner {
    address: SocketAddr,
    answers: Mutex<HashMap<String, Answer>>,
    headers: Mutex<HeaderMap>,
    /// The paths that were asked for, in order.
    asked: Mutex<Vec<String>>,
    /// How many answers had no body because the `ETag` was known.
    not_modified: AtomicU64,
    changed: tokio::sync::Notify,
    /// Its own, so that no test's runtime can hold it up.
    runtime: Mutex<Option<Runtime>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.get_mut().unwrap().take() {
            runtime.shutdown_background();
        }
    }
}

impl Stub {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let stub = Self(Arc::new(Inner {
            address: listener.local_addr().unwrap(),
            answers: Mutex::default(),
            headers: Mutex::default(),
            asked: Mutex::default(),
            not_modified: AtomicU64::new(0),
            changed: tokio::sync::Notify::new(),
            runtime: Mutex::new(None),
        }));
        let app = Router::new().fallback(answer).with_state(Arc::downgrade(&stub.0));
        runtime.spawn(async move {
            axum::serve(TcpListener::from_std(listener).unwrap(), app).await.unwrap();
        });
        *stub.0.runtime.lock().unwrap() = Some(runtime);
        stub
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.0.address)
    }

    pub fn set(&self, path: &str, answer: Answer) {
        self.0.answers.lock().unwrap().insert(path.to_owned(), answer);
        self.0.changed.notify_waiters();
    }

    pub fn header(&self, name: header::HeaderName, value: &str) {
        self.0.headers.lock().unwrap().insert(name, value.parse().unwrap());
    }

    /// Publishes these keys at `/jwks`.
    pub fn publish(&self, keys: impl IntoIterator<Item = Value>) {
        let keys: Vec<_> = keys.into_iter().collect();
        self.set("/jwks", Answer::Document(json!({ "keys": keys }).to_string()));
    }

    /// Publishes metadata for the issuer at this path, at the place where OpenID Connect looks.
    pub fn describe(&self, path: &str) -> String {
        let issuer = self.url(path);
        let metadata = json!({ "issuer": issuer, "jwks_uri": self.url("/jwks") });
        self.set(
            &format!("{path}/.well-known/openid-configuration"),
            Answer::Document(metadata.to_string()),
        );
        issuer
    }

    pub fn hits(&self, path: &str) -> usize {
        self.0.asked.lock().unwrap().iter().filter(|asked| *asked == path).count()
    }

    pub fn asked(&self) -> Vec<String> {
        self.0.asked.lock().unwrap().clone()
    }

    pub fn not_modified(&self) -> u64 {
        self.0.not_modified.load(Ordering::SeqCst)
    }
}

async fn answer(
    State(stub): State<std::sync::Weak<Inner>>,
    request: Request<Body>,
) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    if let Some(stub) = stub.upgrade() {
        stub.asked.lock().unwrap().push(path.clone());
    }
    loop {
        let Some(stub) = stub.upgrade() else { return Response::new(Body::empty()) };
        let mut response = Response::new(Body::empty());
        *response.headers_mut() = stub.headers.lock().unwrap().clone();
        let answer = stub.answers.lock().unwrap().get(&path).cloned();
        match answer {
            None => *response.status_mut() = StatusCode::NOT_FOUND,
            Some(Answer::Document(json)) => {
                let etag = response.headers().get(header::ETAG);
                if etag.is_some() && etag == known.as_ref() {
                    stub.not_modified.fetch_add(1, Ordering::SeqCst);
                    *response.status_mut() = StatusCode::NOT_MODIFIED;
                } else {
                    *response.body_mut() = json.into();
                }
            }
            Some(Answer::Status(status)) => {
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
            }
            Some(Answer::Hang) => {
                stub.changed.notified().await;
                continue;
            }
            Some(Answer::Drop) => {
                let parts = [
                    Ok(Bytes::from_static(b"{\"keys\": [")),
                    Err(std::io::Error::other("dropped")),
                ];
                *response.body_mut() = Body::from_stream(stream::iter(parts));
            }
            Some(Answer::Endless(bytes)) => {
                let chunk = Bytes::from(vec![b' '; 64 * 1024]);
                let chunks =
                    (0..bytes / (64 * 1024)).map(move |_| Ok::<_, std::io::Error>(chunk.clone()));
                *response.body_mut() = Body::from_stream(stream::iter(chunks));
            }
            Some(Answer::Redirect(to)) => {
                *response.status_mut() = StatusCode::FOUND;
                response.headers_mut().insert(header::LOCATION, to.parse().unwrap());
            }
        }
        return response;
    }
}

/// A clock that is turned, and that goes on otherwise.
#[derive(Clone, Default)]
pub struct Turned(Arc<AtomicU64>);

impl Turned {
    pub fn by(&self, seconds: u64) {
        self.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    pub fn back(&self, seconds: u64) {
        self.0.fetch_sub(seconds * 1000, Ordering::SeqCst);
    }

    pub fn clock(&self) -> impl Fn() -> SystemTime + Send + Sync + 'static {
        let turned = Arc::clone(&self.0);
        move || SystemTime::now() + Duration::from_millis(turned.load(Ordering::SeqCst))
    }
}

/// Waits for what is bound to come, and not longer than a test may hang.
pub async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let wait = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}
