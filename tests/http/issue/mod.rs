//! The endpoints of a token issuer, over real sockets.

mod cookies;
mod cross_site;
mod login;
mod logout;
mod opaque;
mod outage;
mod refresh;
mod requests;
mod second_factor;
mod servers;
mod services;
mod without_passwords;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, COOKIE, PRAGMA, RETRY_AFTER, SET_COOKIE};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tower_auth::{
    AuthenticateLayer, BasicAuth, Principal, Scheme,
    basic::{PasswordVerifier, Users},
    issue::{TokenIssuer, TokenIssuerBuilder, TokenRoutes, TokenRoutesBuilder},
    observe::{Event, Observe},
    test_util::TestClock,
    throttle::Throttle,
};
use tower_auth_test_support::{
    api::{Api, Reply, greet},
    store::SwitchedStore,
};

const PASSWORD: &str = "correct horse";
const PATHS: [&str; 5] = ["/login", "/token/refresh", "/logout", "/logout/all", "/revoke"];

/// A token issuer with a mock clock, and a store that can fail.
struct Setup {
    clock: TestClock,
    store: SwitchedStore,
    issuer: TokenIssuer,
    events: Recorder,
}

impl Setup {
    fn new() -> Self {
        Self::with(|issuer| issuer)
    }

    fn with(configure: impl FnOnce(TokenIssuerBuilder) -> TokenIssuerBuilder) -> Self {
        let clock = TestClock::new();
        let store = SwitchedStore::new(clock.clone());
        let events = Recorder::default();
        let issuer = TokenIssuer::builder()
            .issuer("https://login.example")
            .audience("orders")
            .store(store.sealed())
            .observer(events.clone())
            .clock(clock.clone());
        Self { issuer: configure(issuer).build().unwrap(), clock, store, events }
    }

    /// Returns logins of `alice` with the scopes `read` and `write`, limited by the address in the
    /// header `x-from`.
    fn staff(&self) -> BasicAuth<impl PasswordVerifier + use<>> {
        let alice = Principal::builder("alice", Scheme::BASIC).scopes(["read", "write"]).build();
        self.limited(Users::default().with(alice, PASSWORD).unwrap())
    }

    fn limited<V: PasswordVerifier>(&self, verifier: V) -> BasicAuth<V> {
        let throttle =
            Throttle::by_address(|head| head.headers.get("x-from")?.to_str().ok()?.parse().ok());
        let throttle = throttle.clock(self.clock.clone());
        BasicAuth::new("staff", verifier).unwrap().throttle(throttle).unwrap()
    }

    fn builder(&self) -> TokenRoutesBuilder {
        TokenRoutes::builder(self.issuer.clone(), self.staff())
    }

    async fn serve(&self, routes: TokenRoutesBuilder) -> Client {
        let app = Router::new()
            .route("/me", get(greet))
            .layer(AuthenticateLayer::new(self.issuer.verifier()))
            .merge(routes.build().unwrap().into_router());
        self.serve_app(app).await
    }

    async fn serve_app(&self, app: Router) -> Client {
        Client { api: Api::serve_with_addresses(app).await }
    }

    fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

/// Sends requests, each with the parameters of a form or of JSON.
struct Client {
    api: Api,
}

impl Client {
    fn post(&self, path: &str) -> RequestBuilder {
        self.api.request(Method::POST, path)
    }

    async fn json(&self, path: &str, parameters: &Value) -> Reply {
        checked(send_json(self.post(path), parameters).await)
    }

    async fn form(&self, path: &str, form: &str) -> Reply {
        let request = self.post(path).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        checked(Reply::to(request.body(form.to_owned())).await)
    }

    async fn log_in(&self, password: &str) -> Reply {
        self.json("/login", &json!({ "username": "alice", "password": password })).await
    }

    /// Logs `alice` in, and returns the tokens.
    async fn tokens(&self) -> Tokens {
        let reply = self.log_in(PASSWORD).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        Tokens::of(&reply)
    }

    async fn refresh(&self, token: &str) -> Reply {
        self.json("/token/refresh", &json!({ "refresh_token": token })).await
    }

    async fn log_out(&self, token: &str) -> Reply {
        self.json("/logout", &json!({ "refresh_token": token })).await
    }

    async fn log_out_everywhere(&self, access_token: &str) -> Reply {
        checked(Reply::to(self.post("/logout/all").bearer_auth(access_token)).await)
    }

    /// Returns the status of a request with an access token.
    async fn status(&self, access_token: &str) -> u16 {
        self.api.get_with_token(access_token, "/me").await.status.as_u16()
    }
}

async fn send_json(request: RequestBuilder, parameters: &Value) -> Reply {
    let request = request.header(CONTENT_TYPE, "application/json");
    Reply::to(request.body(parameters.to_string())).await
}

/// Checks what holds for every response of the routes.
fn checked(reply: Reply) -> Reply {
    assert_eq!(reply.headers[CACHE_CONTROL], "no-store", "{reply:?}");
    assert_eq!(reply.headers[PRAGMA], "no-cache", "{reply:?}");
    let is_rejected = reply.status.is_client_error() || reply.status.is_server_error();
    if is_rejected && reply.status != 405 {
        assert_eq!(reply.headers[CONTENT_TYPE], "application/json", "{reply:?}");
    }
    let has_wait = matches!(reply.status.as_u16(), 429 | 503);
    assert_eq!(reply.headers.contains_key(RETRY_AFTER), has_wait, "{reply:?}");
    if reply.status == 401 {
        assert!(reply.challenges()[0].starts_with("Bearer"), "{reply:?}");
    }
    assert!(reply.challenges().len() <= 1, "{reply:?}");
    let is_bearer = |challenge: &&str| challenge.starts_with("Bearer");
    assert!(reply.challenges().iter().all(is_bearer), "{reply:?}");
    reply
}

#[track_caller]
fn assert_error(reply: &Reply, status: u16, error: &str) {
    let expected = (status, json!({ "error": error }).to_string());
    assert_eq!((reply.status.as_u16(), reply.body.clone()), expected, "{reply:?}");
}

struct Tokens {
    access: String,
    refresh: String,
}

impl Tokens {
    fn of(reply: &Reply) -> Self {
        let json: Value = serde_json::from_str(&reply.body).unwrap();
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        Self { access: text("access_token"), refresh: text("refresh_token") }
    }
}

/// The cookie of a browser, which all its tabs share.
#[derive(Clone, Default)]
struct Jar(Arc<Mutex<Option<String>>>);

impl Jar {
    fn value(&self) -> Option<String> {
        self.0.lock().unwrap().clone()
    }

    fn set(&self, value: Option<&str>) {
        *self.0.lock().unwrap() = value.map(ToOwned::to_owned);
    }

    /// Sends a request of a page of this service.
    async fn send(&self, client: &Client, path: &str, parameters: &Value) -> Reply {
        let mut request = client.post(path).header("sec-fetch-site", "same-origin");
        if let Some(value) = self.value() {
            request = request.header(COOKIE, format!("theme=dark; __Host-refresh={value}"));
        }
        let reply = checked(send_json(request, parameters).await);
        self.receive(&reply);
        reply
    }

    fn receive(&self, reply: &Reply) {
        for set in reply.headers.get_all(SET_COOKIE) {
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            let value = pair.strip_prefix("__Host-refresh=").unwrap();
            self.set(Some(value).filter(|value| !value.is_empty()));
        }
    }

    async fn log_in(&self, client: &Client) -> Reply {
        let parameters = json!({ "username": "alice", "password": PASSWORD });
        let reply = self.send(client, "/login", &parameters).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply
    }

    async fn refresh(&self, client: &Client) -> Reply {
        self.send(client, "/token/refresh", &json!({})).await
    }
}

/// Records events as text, except for those of the keys, which a task causes, and the one about
/// clients without a known address.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<String>>>);

impl Observe for Recorder {
    fn observed(&self, event: &Event<'_>) {
        let address = match event {
            Event::KeysFetched { .. }
            | Event::KeySetChanged { .. }
            | Event::SigningKeysChanged { .. }
            | Event::ClientAddressUnknown { .. } => return,
            Event::Rejected { request: Some(request), .. } => request.client_address(),
            _ => None,
        };
        let from = address.map(|address| format!(" from {address}")).unwrap_or_default();
        self.0.lock().unwrap().push(format!("{event:?}{from}"));
    }
}

impl Recorder {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Returns the claims of a token without a check.
fn claims_of(token: &str) -> Value {
    part_of(token, 1)
}

fn header_of(token: &str) -> Value {
    part_of(token, 0)
}

fn part_of(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// The peer address of the clients in these tests.
fn loopback() -> String {
    SocketAddr::from(([127, 0, 0, 1], 0)).ip().to_string()
}
