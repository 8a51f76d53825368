//! Webhooks, over real sockets.

mod bodies;
mod configuration;
mod faults;
mod forgeries;
mod formats;
mod frameworks;
mod headers;
mod keys;
mod replays;
mod responses;
mod sender;
mod timestamps;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use axum::{Router, body::Bytes, http::StatusCode, response::IntoResponse, routing::post};
use tokio::sync::Notify;
use tower_auth::{
    Principal,
    clock::Clock as _,
    observe::{Event, Observe},
    test_util::TestClock,
    webhook::{WebhookFormat, WebhookLayer, WebhookLayerBuilder},
};
use tower_auth_test_support::{
    api::{Api, Reply},
    store::SwitchedStore,
};

use self::sender::Message;

const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=";
const OTHER_SECRET: &str = "whsec_dnV0c3JxcG9ubWxramloZ2ZlZGNiYTk4NzY1NDMyMTA=";
const MINUTE: Duration = Duration::from_secs(60);
const TOLERANCE: Duration = Duration::from_secs(300);
const DAY: Duration = Duration::from_secs(86_400);

/// A layer with a mock clock and a store that can fail, and a handler that a test controls.
struct Setup {
    clock: TestClock,
    store: SwitchedStore,
    handler: Handler,
    events: Events,
}

impl Setup {
    fn new() -> Self {
        let clock = TestClock::new();
        let store = SwitchedStore::new(clock.clone());
        Self { clock, store, handler: Handler::default(), events: Events::default() }
    }

    fn builder(&self, format: WebhookFormat) -> WebhookLayerBuilder {
        WebhookLayer::builder(format)
            .store(self.store.sealed())
            .clock(self.clock.clone())
            .observer(self.events.clone())
    }

    /// Serves a handler behind a layer for this format, with one secret.
    async fn serve(&self, format: WebhookFormat) -> Service {
        self.serve_layer(self.builder(format).secret(SECRET).build().unwrap()).await
    }

    async fn serve_standard(&self) -> Service {
        self.serve(WebhookFormat::standard()).await
    }

    async fn serve_layer(&self, layer: WebhookLayer) -> Service {
        Service(Api::serve(self.handler.app().layer(layer)).await)
    }

    /// Returns the time of the mock clock, in seconds since 1970.
    fn now(&self) -> u64 {
        self.clock.now().duration_since(UNIX_EPOCH).unwrap().as_secs()
    }

    /// Returns a valid webhook with this id.
    fn message(&self, id: &str) -> Message {
        Message::standard(id, self.now(), BODY, SECRET)
    }
}

const BODY: &[u8] = br#"{"type":"paid","id":"evt_1"}"#;

/// What the handler does, and how often it was called.
#[derive(Clone, Default)]
struct Handler(Arc<HandlerState>);

#[derive(Default)]
struct HandlerState {
    calls: AtomicUsize,
    finished: AtomicUsize,
    behaviour: Mutex<Behaviour>,
    started: Notify,
    resumed: Notify,
}

#[derive(Clone, Copy, Default)]
enum Behaviour {
    /// Returns 200, the sender and the body.
    #[default]
    Succeed,
    Return(StatusCode),
    Panic,
    /// Waits for [`Handler::resume`], then succeeds.
    Wait,
}

impl Handler {
    fn behave(&self, behaviour: Behaviour) {
        *self.0.behaviour.lock().unwrap() = behaviour;
    }

    fn calls(&self) -> usize {
        self.0.calls.load(Ordering::SeqCst)
    }

    /// Returns how often it returned a 2xx.
    fn finished(&self) -> usize {
        self.0.finished.load(Ordering::SeqCst)
    }

    /// Waits until a call waits.
    async fn started(&self) {
        self.0.started.notified().await;
    }

    fn resume(&self) {
        self.0.resumed.notify_one();
    }

    fn app(&self) -> Router {
        let this = self.clone();
        let handler =
            post(async move |caller: Principal, body: Bytes| this.call(caller, body).await);
        Router::new().route("/hook", handler)
    }

    async fn call(&self, caller: Principal, body: Bytes) -> axum::response::Response {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        let behaviour = *self.0.behaviour.lock().unwrap();
        match behaviour {
            Behaviour::Succeed => {}
            Behaviour::Return(status) if status.is_success() => {
                self.0.finished.fetch_add(1, Ordering::SeqCst);
                return status.into_response();
            }
            Behaviour::Return(status) => return status.into_response(),
            Behaviour::Panic => panic!("the handler panics, as the test expects"),
            Behaviour::Wait => {
                self.0.started.notify_one();
                self.0.resumed.notified().await;
            }
        }
        self.0.finished.fetch_add(1, Ordering::SeqCst);
        ([("x-sender", caller.subject().to_owned())], body).into_response()
    }
}

/// A service on loopback.
struct Service(Api);

impl Service {
    async fn send(&self, message: &Message) -> Reply {
        Reply::to(self.request(message)).await
    }

    async fn status(&self, message: &Message) -> u16 {
        self.send(message).await.status.as_u16()
    }

    fn request(&self, message: &Message) -> reqwest::RequestBuilder {
        let request = self.0.request(reqwest::Method::POST, "/hook").body(message.body.clone());
        message.headers.iter().fold(request, |request, (name, value)| request.header(name, value))
    }
}

/// Sends a webhook until it does not get 409, because the outcome of an earlier attempt may be
/// recorded in the background. The mock clock stands still, so no record expires.
async fn eventually_not_409(service: &Service, message: &Message) -> u16 {
    for _ in 0..1_000 {
        match service.status(message).await {
            409 => tokio::task::yield_now().await,
            status => return status,
        }
    }
    409
}

/// The names and details of events, in order.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<String>>>);

impl Events {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// Waits for an event that is reported in the background.
    async fn wait_for(&self, text: &str) {
        let has_event = || self.0.lock().unwrap().iter().any(|event| event == text);
        let event = async {
            while !has_event() {
                tokio::task::yield_now().await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(10), event).await.is_ok(), "no {text:?}");
    }
}

impl Observe for Events {
    fn observed(&self, event: &Event<'_>) {
        let text = match event {
            Event::Admitted { principal, .. } => {
                format!("admitted {}", principal.map_or("-", Principal::subject))
            }
            Event::Rejected { rejection, .. } => {
                let reason = std::error::Error::source(rejection);
                format!("rejected {}: {}", rejection.kind().status(), reason.unwrap())
            }
            Event::Webhook { sender, outcome, .. } => format!("webhook {sender} {outcome}"),
            _ => return,
        };
        self.0.lock().unwrap().push(text);
    }
}
