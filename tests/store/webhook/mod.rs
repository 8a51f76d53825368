//! Equal webhooks that arrive at the same time or again, with one store in memory and with one in
//! Redis that two processes share.

mod confusion;
mod failures;
mod finished;
mod redis;
mod stores;

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};
use tower::{Layer as _, ServiceExt as _, service_fn, util::BoxCloneSyncService};
use tower_auth::{
    client::WebhookSigner,
    store::SealedStore,
    test_util::TestClock,
    webhook::{WebhookFormat, WebhookLayer, WebhookLayerBuilder},
};
use tower_auth_test_support::stub::wait_until;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// How long a handler may run before its webhook can be handled again.
const HANDLING_TIME: Duration = Duration::from_secs(60);

type Body = Full<Bytes>;

/// The handler of all processes.
struct Handler {
    started: AtomicUsize,
    running: AtomicUsize,
    most_running: AtomicUsize,
    finished: AtomicUsize,
    /// What the handler returns.
    status: AtomicU16,
    /// The handler waits for one permit.
    gate: Semaphore,
}

impl Handler {
    /// Returns a handler that waits until `open` is called, and then returns this status.
    fn closed(status: u16) -> Arc<Self> {
        Arc::new(Self {
            started: AtomicUsize::default(),
            running: AtomicUsize::default(),
            most_running: AtomicUsize::default(),
            finished: AtomicUsize::default(),
            status: AtomicU16::new(status),
            gate: Semaphore::new(0),
        })
    }

    /// Returns a handler that does not wait.
    fn new(status: u16) -> Arc<Self> {
        let handler = Self::closed(status);
        handler.gate.add_permits(Semaphore::MAX_PERMITS);
        handler
    }

    /// Lets as many calls finish.
    fn open(&self, calls: usize) {
        self.gate.add_permits(calls);
    }

    fn set_status(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn started(&self) -> usize {
        self.started.load(Ordering::SeqCst)
    }

    fn finished(&self) -> usize {
        self.finished.load(Ordering::SeqCst)
    }

    async fn wait_for_start(&self, calls: usize) {
        wait_until("the start of the handler", async || self.started() == calls).await;
    }

    async fn call(&self) -> StatusCode {
        /// Counts a call as running until it ends or is dropped.
        struct Running<'a>(&'a AtomicUsize);

        impl Drop for Running<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }

        self.started.fetch_add(1, Ordering::SeqCst);
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_running.fetch_max(running, Ordering::SeqCst);
        let _running = Running(&self.running);
        self.gate.acquire().await.unwrap().forget();
        tokio::task::yield_now().await;
        let status = StatusCode::from_u16(self.status.load(Ordering::SeqCst)).unwrap();
        if status.is_success() {
            self.finished.fetch_add(1, Ordering::SeqCst);
        }
        status
    }
}

/// One process of a service that receives webhooks.
#[derive(Clone)]
struct Process(BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>);

impl Process {
    fn start(store: &SealedStore, clock: &TestClock, handler: &Arc<Handler>) -> Self {
        Self::with(store, clock, handler, |layer| layer)
    }

    fn with(
        store: &SealedStore,
        clock: &TestClock,
        handler: &Arc<Handler>,
        configure: impl FnOnce(WebhookLayerBuilder) -> WebhookLayerBuilder,
    ) -> Self {
        let layer = WebhookLayer::builder(WebhookFormat::standard())
            .secret(SECRET)
            .store(store.clone())
            .handling_time(HANDLING_TIME)
            .clock(clock.clone());
        let layer = configure(layer).build().unwrap();
        let handler = Arc::clone(handler);
        let inner = service_fn(move |_: Request<Body>| {
            let handler = Arc::clone(&handler);
            async move {
                let mut response = Response::new(Body::default());
                *response.status_mut() = handler.call().await;
                Ok(response)
            }
        });
        Self(BoxCloneSyncService::new(layer.layer(inner)))
    }

    async fn post(&self, webhook: &Webhook) -> u16 {
        let response = self.0.clone().oneshot(webhook.request());
        let response = timeout(Duration::from_secs(60), response).await.expect("no response");
        response.unwrap().status().as_u16()
    }
}

/// A signed webhook, which can be sent several times.
#[derive(Clone)]
struct Webhook(Request<Bytes>);

impl Webhook {
    fn new(id: &str, clock: &TestClock) -> Self {
        Self::with_body(id, r#"{"type":"order.paid"}"#, clock)
    }

    fn with_body(id: &str, body: &'static str, clock: &TestClock) -> Self {
        let mut request =
            Request::post("/webhook").body(Bytes::from_static(body.as_bytes())).unwrap();
        let signer = WebhookSigner::new(WebhookFormat::standard(), SECRET).unwrap();
        signer.clock(clock.clone()).sign_with_id(id, &mut request).unwrap();
        Self(request)
    }

    fn request(&self) -> Request<Body> {
        self.0.clone().map(Body::new)
    }
}

/// Sends a webhook 64 times at once, in turn to each of the processes.
fn post_64(processes: &[Process], webhook: &Webhook) -> JoinSet<u16> {
    let mut tasks = JoinSet::new();
    for process in processes.iter().cycle().take(64) {
        let (process, webhook) = (process.clone(), webhook.clone());
        tasks.spawn(async move { process.post(&webhook).await });
    }
    tasks
}
