//! An OpenID provider inside the process, for tests.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::COOKIE, request::Parts};
use serde_json::{Value, json};

use super::{
    OidcLogin, OidcLoginBuilder,
    authorization_request::{Begun, LoginRequest},
    callback::{CallbackParameters, Completed},
    login_error::LoginError,
    step_up::StepUp,
};
use crate::{
    client::error::BoxError,
    session::sessions::Sessions,
    store::{
        Memory, Store, StoreError, StoreErrorKind, StoreFuture, StoreKey, Ttl,
        sealed_store::SealedStore, secret::StoreSecret,
    },
    test_util::{TestClock, TestToken, TokenMint},
};

pub(super) const ISSUER: &str = "https://id.example";
pub(super) const CLIENT: &str = "app";
pub(super) const REDIRECT_URI: &str = "https://app.example/callback";

/// Changes the ID token before it is signed.
type Change = Box<dyn Fn(TestToken) -> TestToken + Send>;

#[derive(Clone)]
pub(super) struct TestProvider(Arc<State>);

struct State {
    mint: TokenMint,
    clock: TestClock,
    metadata: Mutex<Value>,
    change: Mutex<Change>,
    /// Replaces members of the token response.
    tokens: Mutex<Value>,
    userinfo: Mutex<(u16, &'static str, String)>,
    /// The parameters of authorization requests, by code.
    codes: Mutex<HashMap<String, HashMap<String, String>>>,
    requests: Mutex<Vec<Request<Bytes>>>,
    outage: AtomicBool,
    hangs: AtomicBool,
    discoveries: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TestProvider {
    pub(super) fn new() -> Self {
        Self::with_mint(|mint| mint)
    }

    pub(super) fn with_mint(change: impl Fn(TokenMint) -> TokenMint) -> Self {
        let clock = TestClock::new();
        let url = |path: &str| format!("{ISSUER}{path}");
        Self(Arc::new(State {
            mint: change(TokenMint::new(ISSUER).clock(clock.clone())),
            clock,
            metadata: Mutex::new(json!({
                "issuer": ISSUER,
                "authorization_endpoint": url("/authorize"),
                "token_endpoint": url("/token"),
                "userinfo_endpoint": url("/userinfo"),
                "end_session_endpoint": url("/logout?x=1"),
                "jwks_uri": url("/jwks"),
            })),
            change: Mutex::new(Box::new(|token| token)),
            tokens: Mutex::new(json!({})),
            userinfo: Mutex::new((200, "application/json", r#"{"sub":"alice"}"#.into())),
            codes: Mutex::default(),
            requests: Mutex::default(),
            outage: AtomicBool::new(false),
            hangs: AtomicBool::new(false),
            discoveries: AtomicUsize::new(0),
        }))
    }

    pub(super) fn clock(&self) -> &TestClock {
        &self.0.clock
    }

    /// Changes the ID tokens.
    pub(super) fn id_token(&self, change: impl Fn(TestToken) -> TestToken + Send + 'static) {
        *lock(&self.0.change) = Box::new(change);
    }

    /// Sets members of the metadata.
    pub(super) fn metadata(&self, members: Value) {
        set(&mut lock(&self.0.metadata), members);
    }

    /// Sets members of token responses. Null removes one.
    pub(super) fn tokens(&self, members: Value) {
        *lock(&self.0.tokens) = members;
    }

    pub(super) fn userinfo(&self, status: u16, content_type: &'static str, body: &str) {
        *lock(&self.0.userinfo) = (status, content_type, body.to_owned());
    }

    pub(super) fn outage(&self, outage: bool) {
        self.0.outage.store(outage, Relaxed);
    }

    pub(super) fn hang(&self) {
        self.0.hangs.store(true, Relaxed);
    }

    pub(super) fn discoveries(&self) -> usize {
        self.0.discoveries.load(Relaxed)
    }

    /// Returns the bodies of the requests to a path.
    pub(super) fn forms(&self, path: &str) -> Vec<HashMap<String, String>> {
        let requests = lock(&self.0.requests);
        let sent = requests.iter().filter(|request| request.uri().path() == path);
        sent.map(|request| parse(std::str::from_utf8(request.body()).unwrap())).collect()
    }

    /// Returns a header of the last request to a path.
    pub(super) fn header(&self, path: &str, name: &str) -> Option<String> {
        let requests = lock(&self.0.requests);
        let last = requests.iter().rev().find(|request| request.uri().path() == path)?;
        Some(last.headers().get(name)?.to_str().unwrap().to_owned())
    }

    /// Lets the user log in at the authorization endpoint. Returns the response.
    pub(super) fn authorize(&self, location: &str) -> CallbackParameters {
        let (_, query) = location.split_once('?').unwrap();
        let query = parse(query);
        let state = query.get("state").cloned();
        let code = format!("code-of-{}", state.as_deref().unwrap_or_default());
        lock(&self.0.codes).insert(code.clone(), query);
        CallbackParameters { code: Some(code), state, ..CallbackParameters::default() }
    }

    /// Answers a request.
    async fn respond(self, request: Request<Bytes>) -> Result<Response<Bytes>, BoxError> {
        if self.0.hangs.load(Relaxed) {
            std::future::pending::<()>().await;
        }
        if self.0.outage.load(Relaxed) {
            return Err("connection refused".into());
        }
        let (status, content_type, body) = match request.uri().path() {
            "/.well-known/openid-configuration" => {
                self.0.discoveries.fetch_add(1, Relaxed);
                (200, "application/json", lock(&self.0.metadata).to_string())
            }
            "/jwks" => (200, "application/json", self.0.mint.jwks()),
            "/token" => self.token(std::str::from_utf8(request.body()).unwrap()),
            "/userinfo" => lock(&self.0.userinfo).clone(),
            _ => (404, "text/plain", String::new()),
        };
        lock(&self.0.requests).push(request);
        let response = Response::builder().status(status).header("content-type", content_type);
        Ok(response.body(body.into()).unwrap())
    }

    fn token(&self, form: &str) -> (u16, &'static str, String) {
        let form = parse(form);
        // A code is valid once.
        let Some(request) = lock(&self.0.codes).remove(&form["code"]) else {
            return (400, "application/json", r#"{"error":"invalid_grant"}"#.into());
        };
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, form["code_verifier"].as_bytes()));
        assert_eq!(request["code_challenge"], challenge);
        assert_eq!(request["code_challenge_method"], "S256");
        assert_eq!(request["redirect_uri"], form["redirect_uri"]);
        assert_eq!(form["grant_type"], "authorization_code");
        let token = self.0.mint.token("alice").audience(CLIENT).typ("JWT");
        let token = match request.get("nonce") {
            Some(nonce) => token.claim("nonce", nonce),
            None => token,
        };
        let mut response = json!({
            "access_token": "at-1",
            "token_type": "Bearer",
            "expires_in": 3600,
            "id_token": lock(&self.0.change)(token).sign(),
        });
        set(&mut response, lock(&self.0.tokens).clone());
        // A careless provider repeats what it received.
        (200, "application/json", response.to_string().replace("{code}", &form["code"]))
    }

    /// Returns a builder of a login at this provider.
    pub(super) fn builder(&self) -> OidcLoginBuilder {
        self.configure(OidcLogin::discover(ISSUER))
    }

    /// Sets what every login needs.
    pub(super) fn configure(&self, builder: OidcLoginBuilder) -> OidcLoginBuilder {
        let this = self.clone();
        let clock = self.0.clock.clone();
        builder
            .client_id(CLIENT)
            .redirect_uri(REDIRECT_URI)
            .client(move |request| this.clone().respond(request))
            .clock(clock.clone())
            .then(|login| async move { Ok(login.principal().build()) })
            .sessions(sessions(&clock, Memory::with_clock(clock.clone())))
    }

    pub(super) fn login(&self) -> OidcLogin {
        self.builder().build().unwrap()
    }
}

pub(super) fn sessions(clock: &TestClock, store: impl Store + 'static) -> Sessions {
    let store = SealedStore::new(store, StoreSecret::random());
    Sessions::builder(store).clock(clock.clone()).build().unwrap()
}

fn set(object: &mut Value, members: Value) {
    let Value::Object(members) = members else { panic!("not an object") };
    for (name, value) in members {
        match value {
            Value::Null => drop(object.as_object_mut().unwrap().remove(&name)),
            value => object[name] = value,
        }
    }
}

pub(super) fn parse(form: &str) -> HashMap<String, String> {
    let pairs: Vec<(String, String)> =
        form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    let number = pairs.len();
    let form: HashMap<_, _> = pairs.into_iter().collect();
    assert_eq!(form.len(), number, "a parameter occurs twice");
    form
}

/// The cookies of a browser.
#[derive(Clone, Default)]
pub(super) struct Browser(pub(super) Vec<(String, String)>);

impl Browser {
    /// Stores the cookies of a response.
    pub(super) fn store(&mut self, cookies: &[HeaderValue]) {
        for cookie in cookies {
            let cookie = cookie.to_str().unwrap();
            let (pair, attributes) = cookie.split_once("; ").unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.0.retain(|(other, _)| other != name);
            if !attributes.contains("Max-Age=0") {
                self.0.push((name.into(), value.into()));
            }
        }
    }

    /// Returns the head of a request.
    pub(super) fn head(&self) -> Parts {
        let pairs: Vec<_> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = Request::new(());
        if !pairs.is_empty() {
            let value = HeaderValue::try_from(pairs.join("; ")).unwrap();
            request.headers_mut().insert(COOKIE, value);
        }
        request.into_parts().0
    }

    pub(super) async fn begin(
        &mut self,
        login: &OidcLogin,
        request: LoginRequest,
    ) -> Result<Begun, LoginError> {
        let begun = login.0.begin(request, &self.head()).await?;
        self.store(&begun.cookies);
        Ok(begun)
    }

    pub(super) async fn complete(
        &self,
        login: &OidcLogin,
        response: CallbackParameters,
    ) -> Result<Completed, LoginError> {
        login.0.complete(response, &self.head()).await
    }
}

/// Logs in with a new browser.
pub(super) async fn log_in(
    provider: &TestProvider,
    login: &OidcLogin,
    request: LoginRequest,
) -> Result<Completed, LoginError> {
    let mut browser = Browser::default();
    let begun = browser.begin(login, request).await?;
    browser.complete(login, provider.authorize(&begun.location)).await
}

/// Returns the request of a page that requires one of these classes.
pub(super) fn with_acr(values: &str) -> LoginRequest {
    let step_up = StepUp { acr_values: Some(values.into()), max_age: None };
    LoginRequest { step_up, ..Default::default() }
}

/// Returns the request of a page that requires a login in the last seconds.
pub(super) fn with_max_age(seconds: u64) -> LoginRequest {
    let step_up = StepUp { acr_values: None, max_age: Some(seconds) };
    LoginRequest { step_up, ..Default::default() }
}

/// Returns the reason of an error, for the log.
pub(super) fn reason(error: &LoginError) -> String {
    let mut text = String::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// A store whose `insert` can fail.
#[derive(Clone)]
pub(super) struct FailingStore(Arc<(Memory, AtomicBool)>);

impl FailingStore {
    pub(super) fn new(memory: Memory) -> Self {
        Self(Arc::new((memory, AtomicBool::new(false))))
    }

    pub(super) fn fail(&self, fails: bool) {
        self.0.1.store(fails, Relaxed);
    }
}

impl Store for FailingStore {
    fn get(&self, keys: &[StoreKey]) -> StoreFuture<Vec<Option<Bytes>>> {
        self.0.0.get(keys)
    }

    fn put(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<()> {
        self.0.0.put(key, value, ttl)
    }

    fn insert(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        if self.0.1.load(Relaxed) {
            return StoreFuture::ready(Err(StoreError::new(StoreErrorKind::Unavailable)));
        }
        self.0.0.insert(key, value, ttl)
    }

    fn replace(&self, key: &StoreKey, current: Bytes, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        self.0.0.replace(key, current, value, ttl)
    }

    fn add(&self, keys: &[StoreKey], delta: i64, ttl: Ttl) -> StoreFuture<Vec<i64>> {
        self.0.0.add(keys, delta, ttl)
    }

    fn take(&self, key: &StoreKey) -> StoreFuture<Option<Bytes>> {
        self.0.0.take(key)
    }

    fn now(&self) -> StoreFuture<std::time::SystemTime> {
        self.0.0.now()
    }
}
