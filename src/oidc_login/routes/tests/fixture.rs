use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use bytes::Bytes;
use http::{Request, Response, header::LOCATION};
use http_body_util::{BodyExt as _, Full};
use serde_json::json;
use tower::ServiceExt as _;

use crate::{
    observe::event::Event,
    oidc_login::{Login, LoginRoute, OidcLogin, OidcLoginBuilder},
    principal::Principal,
    rejection::Rejection,
    session::sessions::Sessions,
    store::{
        Memory, SealedStore, Store, StoreError, StoreErrorKind, StoreFuture, StoreKey, StoreSecret,
        Ttl,
    },
    test_util::{TestClock, TokenMint},
};

pub(super) const ISSUER: &str = "https://provider.example";

/// A store in memory that fails after some operations.
#[derive(Clone)]
pub(super) struct TestStore {
    memory: Arc<Memory>,
    /// How many operations succeed.
    left: Arc<AtomicUsize>,
}

impl TestStore {
    fn new(clock: TestClock) -> Self {
        let left = Arc::new(AtomicUsize::new(usize::MAX));
        Self { memory: Arc::new(Memory::with_clock(clock)), left }
    }

    pub(super) fn fail_after(&self, operations: usize) {
        self.left.store(operations, Ordering::SeqCst);
    }

    pub(super) fn repair(&self) {
        self.left.store(usize::MAX, Ordering::SeqCst);
    }

    fn run<T>(&self, operation: impl FnOnce(&Memory) -> StoreFuture<T>) -> StoreFuture<T> {
        let left = self.left.load(Ordering::SeqCst);
        if left == 0 {
            return StoreFuture::ready(Err(StoreError::new(StoreErrorKind::Unavailable)));
        }
        if left != usize::MAX {
            self.left.store(left - 1, Ordering::SeqCst);
        }
        operation(&self.memory)
    }
}

impl Store for TestStore {
    fn get(&self, keys: &[StoreKey]) -> StoreFuture<Vec<Option<Bytes>>> {
        self.run(|memory| memory.get(keys))
    }

    fn put(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<()> {
        self.run(|memory| memory.put(key, value, ttl))
    }

    fn insert(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        self.run(|memory| memory.insert(key, value, ttl))
    }

    fn replace(&self, key: &StoreKey, current: Bytes, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        self.run(|memory| memory.replace(key, current, value, ttl))
    }

    fn add(&self, keys: &[StoreKey], delta: i64, ttl: Ttl) -> StoreFuture<Vec<i64>> {
        self.run(|memory| memory.add(keys, delta, ttl))
    }

    fn take(&self, key: &StoreKey) -> StoreFuture<Option<Bytes>> {
        self.run(|memory| memory.take(key))
    }

    fn now(&self) -> StoreFuture<SystemTime> {
        self.run(Memory::now)
    }
}

/// An OpenID provider at which `alice` has a session.
#[derive(Clone)]
pub(super) struct Provider {
    pub(super) mint: TokenMint,
    /// The claims of the next ID token.
    claims: Arc<Mutex<BTreeMap<String, serde_json::Value>>>,
}

impl Provider {
    /// Sets a claim of the next ID token.
    pub(super) fn set(&self, name: &str, value: impl Into<serde_json::Value>) {
        self.claims.lock().unwrap().insert(name.to_owned(), value.into());
    }

    fn respond(&self, request: &Request<Bytes>) -> Response<Bytes> {
        self.respond_as(ISSUER, request)
    }

    /// Responds as another provider with the same keys.
    pub(super) fn respond_as(&self, issuer: &str, request: &Request<Bytes>) -> Response<Bytes> {
        let body = match request.uri().path() {
            "/.well-known/openid-configuration" => json!({
                "issuer": issuer,
                "authorization_endpoint": format!("{issuer}/authorize"),
                "token_endpoint": format!("{issuer}/token"),
                "end_session_endpoint": format!("{issuer}/logout"),
                "jwks_uri": format!("{issuer}/jwks"),
            })
            .to_string(),
            "/jwks" => self.mint.jwks(),
            "/token" => {
                let mut token = self.mint.token("alice").audience("app").typ("JWT");
                for (name, value) in &*self.claims.lock().unwrap() {
                    token = token.claim(name.as_str(), value);
                }
                json!({ "access_token": "at", "token_type": "Bearer", "id_token": token.sign() })
                    .to_string()
            }
            _ => return Response::builder().status(404).body(Bytes::new()).unwrap(),
        };
        let response = Response::builder().header("content-type", "application/json");
        response.body(Bytes::from(body)).unwrap()
    }
}

/// An application with sessions.
pub(super) struct App {
    pub(super) store: TestStore,
    pub(super) provider: Provider,
    pub(super) sessions: Sessions,
    pub(super) login: OidcLogin,
    /// The events, as text.
    pub(super) events: Arc<Mutex<Vec<String>>>,
}

impl App {
    pub(super) fn new() -> Self {
        Self::with(|login| login)
    }

    pub(super) fn with(configure: impl FnOnce(OidcLoginBuilder) -> OidcLoginBuilder) -> Self {
        Self::build(|login, sessions| configure(login.sessions(sessions.clone())))
    }

    /// Builds an application whose login is completed by `configure`.
    pub(super) fn build(
        configure: impl FnOnce(OidcLoginBuilder, &Sessions) -> OidcLoginBuilder,
    ) -> Self {
        let clock = TestClock::new();
        let store = TestStore::new(clock.clone());
        let secret = StoreSecret::new(*b"0123456789abcdefghijklmnopqrstuv").unwrap();
        let sealed = SealedStore::new(store.clone(), secret);
        let sessions = Sessions::builder(sealed).clock(clock.clone()).build().unwrap();
        let mint = TokenMint::new(ISSUER).clock(clock.clone());
        let provider = Provider { mint, claims: Arc::default() };
        let events = Arc::<Mutex<Vec<String>>>::default();
        let (client, recorder) = (provider.clone(), Arc::clone(&events));
        let login = OidcLogin::discover(ISSUER)
            .client_id("app")
            .client_secret("s3cret")
            .redirect_uri("https://app.example/callback")
            .client(move |request: Request<Bytes>| {
                let response = client.respond(&request);
                async move { Ok::<_, std::io::Error>(response) }
            })
            .clock(clock.clone())
            .observer(move |event: &Event<'_>| {
                let text = match event {
                    Event::LoginFailed { error, .. } => format!("{:?}", error.kind()),
                    Event::Rejected { rejection, .. } => format!("{:?}", rejection.kind()),
                    _ => return,
                };
                recorder.lock().unwrap().push(text);
            })
            .then(async |login: Login| Ok::<Principal, Rejection>(login.principal().build()));
        let login = configure(login, &sessions).build().unwrap();
        Self { store, provider, sessions, login, events }
    }

    /// Returns the events since the last call.
    pub(super) fn take_events(&self) -> Vec<String> {
        std::mem::take(&mut self.events.lock().unwrap())
    }

    /// Returns the subject that a request of this browser has.
    pub(super) async fn user(&self, browser: &Browser) -> Option<String> {
        use crate::authenticate::Authenticator as _;

        let (head, ()) = browser.request("GET", "/", ()).into_parts();
        let authentication = self.sessions.authenticate(&head)?;
        let principal = authentication.await.into_result().ok()?;
        Some(principal.subject().to_owned())
    }

    /// Logs `alice` in, and returns the response of the callback.
    pub(super) async fn log_in(&self, browser: &mut Browser, query: &str) -> Reply {
        let begun = self.begin(browser, query).await;
        let callback = format!("/callback?code=c&state={}", begun["state"]);
        browser.send(self.login.callback(), "GET", &callback).await
    }

    /// Begins a login, and returns the parameters of the authorization request.
    pub(super) async fn begin(
        &self,
        browser: &mut Browser,
        query: &str,
    ) -> BTreeMap<String, String> {
        let reply = browser.send(self.login.login(), "GET", &format!("/login?{query}")).await;
        assert_eq!(reply.status, 303, "{reply:?}");
        let parameters = reply.location_parameters();
        if let Some(nonce) = parameters.get("nonce") {
            self.provider.set("nonce", nonce.as_str());
        }
        parameters
    }
}

/// A browser with cookies.
#[derive(Clone, Default)]
pub(super) struct Browser {
    pub(super) cookies: BTreeMap<String, String>,
}

#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: http::HeaderMap,
    pub(super) body: String,
}

impl Browser {
    /// Returns a request with the headers of a navigation within the site.
    pub(super) fn request<B>(&self, method: &str, uri: &str, body: B) -> Request<B> {
        let cookies: Vec<_> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header("host", "app.example")
            .header("sec-fetch-site", "same-origin")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document");
        if !cookies.is_empty() {
            request = request.header("cookie", cookies.join("; "));
        }
        request.body(body).unwrap()
    }

    pub(super) async fn send(&mut self, route: LoginRoute, method: &str, uri: &str) -> Reply {
        let request = self.request(method, uri, Full::default());
        self.send_request(route, request).await
    }

    pub(super) async fn send_request(
        &mut self,
        route: LoginRoute,
        request: Request<Full<Bytes>>,
    ) -> Reply {
        let (head, body) = route.oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        assert_eq!(head.headers["cache-control"], "no-store");
        assert_eq!(head.headers["referrer-policy"], "no-referrer");
        for line in head.headers.get_all("set-cookie") {
            let line = line.to_str().unwrap();
            let (pair, attributes) = line.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            match attributes.contains("Max-Age=0") {
                true => self.cookies.remove(name),
                false => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        Reply {
            status: head.status.as_u16(),
            headers: head.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    pub(super) fn login_cookies(&self) -> usize {
        self.cookies.keys().filter(|name| name.starts_with("__Host-login-")).count()
    }

    pub(super) fn session(&self) -> Option<&str> {
        self.cookies.get("__Host-session").map(String::as_str)
    }
}

impl Reply {
    pub(super) fn location(&self) -> &str {
        self.headers[LOCATION].to_str().unwrap()
    }

    pub(super) fn location_parameters(&self) -> BTreeMap<String, String> {
        let (_, query) = self.location().split_once('?').unwrap();
        form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }
}
