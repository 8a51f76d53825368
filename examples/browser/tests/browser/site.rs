//! Sites in the test process: services with one credential each, and the pages of attackers.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{
        Request, State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::{
        StatusCode,
        header::{AUTHORIZATION, COOKIE, HeaderValue, ORIGIN, SET_COOKIE},
    },
    middleware::{self, Next},
    response::{Html, Response},
    routing::get,
};
use tower_auth::{
    AuthenticateLayer, BasicAuth, Principal, RejectionKind, Scheme,
    basic::Users,
    credentials::TokenLocation,
    observe::{Event, Observe},
    transport::Forwarded,
};
use tower_auth_test_support::{api::Issuer, chromium::Chromium, stub::wait_until};

use crate::tls;

/// What differs between the services.
#[derive(Clone, Copy)]
pub struct Kind {
    /// The attribute of the cookie, or `None` for a service with HTTP Basic.
    pub same_site: Option<&'static str>,
    /// Whether the service has the cross-site check.
    pub is_protected: bool,
    /// Whether the service receives `Sec-Fetch-Site`. Browsers before 2023 do not all send it.
    pub has_fetch_metadata: bool,
}

/// A protected service with a cookie that sibling domains can cause to be sent.
pub const LAX: Kind = Kind { same_site: Some("Lax"), is_protected: true, has_fetch_metadata: true };
/// A protected service with a cookie that all sites can cause to be sent.
pub const ANY_SITE: Kind = Kind { same_site: Some("None"), ..LAX };
/// A protected service with HTTP Basic.
pub const BASIC: Kind = Kind { same_site: None, ..LAX };

/// A request that a service received.
#[derive(Clone, Debug)]
pub struct Received {
    /// The query, which names the request.
    pub name: String,
    pub status: u16,
    pub has_credential: bool,
    /// Whether the browser sent `Sec-Fetch-Site`.
    pub has_fetch_site: bool,
    pub origin: Option<String>,
    /// The kind of the rejection, if the layer rejected the request.
    pub rejection: Option<RejectionKind>,
}

/// A service at `https://app.test`, with notes.
pub struct Service {
    pub url: String,
    state: Arc<Shared>,
}

struct Shared {
    kind: Kind,
    token: String,
    notes: Mutex<Vec<String>>,
    received: Mutex<Vec<Received>>,
}

impl Service {
    pub async fn start(kind: Kind) -> Self {
        let issuer = Issuer::new();
        let token = issuer.token();
        let state =
            Arc::new(Shared { kind, token, notes: Mutex::default(), received: Mutex::default() });
        let routes = Router::new()
            .route("/notes", get(list).post(add))
            .route("/socket", get(open_socket))
            .with_state(Arc::clone(&state));
        let private = match kind.same_site {
            Some(_) => {
                let tokens = issuer.builder().token_from(TokenLocation::cookie("__Host-token"));
                let tokens = tokens.forwarded(Forwarded::direct().tls());
                let tokens =
                    if kind.is_protected { tokens } else { tokens.dangerous_allow_cross_site() };
                let layer = AuthenticateLayer::new(tokens.build().unwrap());
                routes.layer(layer.observer(LastRejection))
            }
            None => {
                let alice = Principal::builder("alice", Scheme::BASIC).build();
                let users = Users::default().with(alice, "secret").unwrap();
                let staff = BasicAuth::new("notes", users).unwrap();
                let staff = staff.forwarded(Forwarded::direct().tls());
                let staff =
                    if kind.is_protected { staff } else { staff.dangerous_allow_cross_site() };
                routes.layer(AuthenticateLayer::new(staff).observer(LastRejection))
            }
        };
        let app = Router::new()
            .route("/", get(page))
            .with_state(Arc::clone(&state))
            .merge(private)
            .layer(middleware::from_fn_with_state(Arc::clone(&state), record));
        let address = serve_tls(app);
        Self { url: format!("https://app.test:{}", address.port()), state }
    }

    /// Lets the browser store the credential, and opens a page of the service.
    pub fn log_in(&self, chromium: &mut Chromium) {
        if self.state.kind.same_site.is_none() {
            let url = self.url.replace("://", "://alice:secret@");
            assert_eq!(chromium.open(&format!("{url}/notes")), 200);
        }
        assert_eq!(chromium.open(&self.url), 200);
    }

    /// Returns the notes, and removes them.
    pub fn take_notes(&self) -> Vec<String> {
        let mut notes = std::mem::take(&mut *self.state.notes.lock().unwrap());
        notes.sort();
        notes
    }

    /// Waits for the request with each name, and returns them in the same order.
    pub async fn wait_for(&self, names: &[&str]) -> Vec<Received> {
        let find = |name: &str| {
            let received = self.state.received.lock().unwrap();
            received.iter().find(|received| received.name == name).cloned()
        };
        for name in names {
            wait_until(name, async || find(name).is_some()).await;
        }
        let found = names.iter().filter_map(|name| find(name)).collect();
        self.state.received.lock().unwrap().clear();
        found
    }
}

/// Serves an empty page of an attacker over TLS, for all names. Returns the port.
pub fn attacker() -> u16 {
    serve_tls(empty_site()).port()
}

/// Serves an empty page of an attacker without TLS. Returns the port.
pub fn attacker_without_tls() -> u16 {
    let (listener, address) = listen();
    tokio::spawn(axum_server::from_tcp(listener).unwrap().serve(empty_site().into_make_service()));
    address.port()
}

fn empty_site() -> Router {
    Router::new().route("/", get(async || Html("<!doctype html><title>attacker</title>")))
}

/// Serves this over TLS, for all names. Returns the address.
pub fn serve_tls(app: Router) -> SocketAddr {
    let (listener, address) = listen();
    let config = tls::self_signed(&["app.test", "sibling.app.test", "evil.test"]).unwrap();
    let server = axum_server::from_tcp_rustls(listener, config).unwrap();
    tokio::spawn(server.serve(app.into_make_service()));
    address
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

tokio::task_local! {
    /// The rejection of the current request.
    static REJECTION: Mutex<Option<RejectionKind>>;
}

struct LastRejection;

impl Observe for LastRejection {
    fn observed(&self, event: &Event<'_>) {
        if let Event::Rejected { rejection, .. } = event {
            REJECTION.with(|last| *last.lock().unwrap() = Some(rejection.kind()));
        }
    }
}

/// Records each request, with the response of the service.
async fn record(State(state): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let name = request.uri().query().unwrap_or_default().to_owned();
    let headers = request.headers_mut();
    let credential = if state.kind.same_site.is_some() { COOKIE } else { AUTHORIZATION };
    let has_credential = headers.contains_key(credential);
    let origin = headers.get(ORIGIN).map(|origin| origin.to_str().unwrap().to_owned());
    let has_fetch_site = headers.contains_key("sec-fetch-site");
    if !state.kind.has_fetch_metadata {
        headers.remove("sec-fetch-site");
    }
    REJECTION
        .scope(Mutex::default(), async {
            let response = next.run(request).await;
            let status = response.status().as_u16();
            let rejection = REJECTION.with(|last| *last.lock().unwrap());
            let received =
                Received { name, status, has_credential, has_fetch_site, origin, rejection };
            state.received.lock().unwrap().push(received);
            response
        })
        .await
}

/// Returns an empty page, and sets the cookie.
async fn page(State(state): State<Arc<Shared>>) -> Response {
    let mut response = Response::new("<!doctype html><title>service</title>".into());
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("text/html"));
    if let Some(same_site) = state.kind.same_site {
        let attributes = format!("Path=/; Secure; HttpOnly; SameSite={same_site}");
        let cookie = format!("__Host-token={}; {attributes}", state.token);
        headers.insert(SET_COOKIE, cookie.parse().unwrap());
    }
    response
}

async fn list(State(state): State<Arc<Shared>>) -> String {
    state.notes.lock().unwrap().join("\n")
}

/// Adds the name of the request as a note.
async fn add(State(state): State<Arc<Shared>>, request: Request) -> StatusCode {
    state.notes.lock().unwrap().extend(request.uri().query().map(str::to_owned));
    StatusCode::CREATED
}

async fn open_socket(State(state): State<Arc<Shared>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async move |mut socket: WebSocket| {
        while let Some(Ok(Message::Text(text))) = socket.recv().await {
            state.notes.lock().unwrap().push(text.to_string());
            let _ = socket.send(Message::Text("added".into())).await;
        }
    })
}
