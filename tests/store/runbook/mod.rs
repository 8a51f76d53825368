//! The guide page `runbook`: an operator takes its steps, and a thief tries to use what was stolen.
//!
//! Each test shows that the thief has access until the last step, and which users are logged out.
//! So it fails if a step does not have the effect that the page states. [`page`] checks that the
//! page names these tests.

mod credentials;
mod dump;
mod failover;
mod forger;
mod keys;
mod page;
mod partners;
mod passwords;
mod secret;
mod write_access;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    extract::{Path, State},
    http::{header::SET_COOKIE, request::Parts},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tower_auth::{
    AuthenticateLayer, BasicAuth, JwtAuth, Principal, Rejection, Scheme, any_of,
    api_key::{ApiKeys, KeyOwner, MemoryApiKeys, NewApiKey},
    basic::{PasswordVerifier, Users},
    bearer::BearerAuth,
    clock::Clock,
    credentials::TokenLocation,
    issue::{SigningKeys, TokenIssuer, TokenIssuerBuilder, TokenRoutes},
    jwt::Jwks,
    observe::{Event, Observe},
    session::Sessions,
    store::{SealedStore, StoreSecret},
    test_util::TestClock,
};
use tower_auth_test_support::{
    api::{Api, Reply, greet},
    stub::wait_until,
};

use crate::revocation::test_store::{TestStore, key};

const ISSUER: &str = "https://login.example";
const PASSWORD: &str = "correct horse";
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// What remains when all instances are restarted: the store, the API keys and the time.
#[derive(Clone)]
struct World {
    clock: TestClock,
    store: TestStore,
    api_keys: Arc<MemoryApiKeys>,
    events: Events,
}

/// What an instance is started with.
struct Config<C> {
    store: SealedStore,
    keys: SigningKeys,
    clock: C,
    api_keys: Arc<MemoryApiKeys>,
    events: Events,
    configure: fn(TokenIssuerBuilder) -> TokenIssuerBuilder,
}

/// An instance of a service on loopback, for tokens, sessions and API keys.
struct Instance {
    api: Api,
    issuer: TokenIssuer,
    sessions: Sessions,
    api_keys: ApiKeys,
}

/// The tokens of a login.
#[derive(Clone, Debug)]
struct Tokens {
    access: String,
    refresh: String,
}

impl World {
    fn new() -> Self {
        let clock = TestClock::new();
        let store = TestStore::new(&clock);
        Self { clock, store, api_keys: Arc::default(), events: Events::default() }
    }

    /// Returns the configuration with this secret of the store, which also has the keys.
    fn config(&self, secret: StoreSecret) -> Config<TestClock> {
        let events = self.events.clone();
        Config {
            store: SealedStore::new(self.store.clone(), secret).observer(events.clone()),
            keys: SigningKeys::eddsa(),
            clock: self.clock.clone(),
            api_keys: Arc::clone(&self.api_keys),
            events,
            configure: |builder| builder,
        }
    }

    async fn start(&self) -> Instance {
        self.config(secret(1)).start().await
    }

    fn advance(&self, time: Duration) {
        self.clock.advance(time);
    }
}

/// Returns a secret of the store.
fn secret(number: u8) -> StoreSecret {
    StoreSecret::new(key(number)).unwrap()
}

impl<C: Clock + Clone> Config<C> {
    fn with_keys(self, keys: SigningKeys) -> Self {
        Self { keys, ..self }
    }

    async fn start(self) -> Instance {
        let user = |name: &str| Principal::builder(name, Scheme::BASIC).scopes(["read"]).build();
        let users = ["alice", "bob", "mallory"].into_iter();
        let users =
            users.fold(Users::default(), |users, name| users.with(user(name), PASSWORD).unwrap());
        self.start_for(users).await
    }

    /// Starts an instance for the users of a verifier.
    async fn start_for(self, users: impl PasswordVerifier) -> Instance {
        let api_keys = ApiKeys::builder("acme", self.api_keys)
            .owners(async |_: String| Ok::<_, std::io::Error>(Some(KeyOwner::with_all_scopes())))
            .clock(self.clock.clone())
            .observer(self.events.clone())
            .build()
            .unwrap();
        let issuer = TokenIssuer::builder()
            .issuer(ISSUER)
            .audience("orders")
            .store(self.store.clone())
            .keys(self.keys)
            .api_keys(api_keys.clone())
            .clock(self.clock.clone())
            .observer(self.events.clone());
        let issuer = (self.configure)(issuer).build().unwrap();
        let sessions = Sessions::builder(self.store)
            .revocations(issuer.revocations().clone())
            .clock(self.clock)
            .observer(self.events)
            .build()
            .unwrap();
        let staff = BasicAuth::new("staff", users).unwrap();
        let routes = TokenRoutes::builder(issuer.clone(), staff).build().unwrap();
        let keys = BearerAuth::new(api_keys.clone()).token_from(TokenLocation::header("x-api-key"));
        let app = Router::new()
            .route("/me", get(greet))
            .layer(AuthenticateLayer::new(any_of((sessions.clone(), issuer.verifier(), keys))))
            .merge(
                Router::new()
                    .route("/api-keys", post(create_key))
                    .layer(AuthenticateLayer::new(issuer.verifier()))
                    .with_state(api_keys.clone()),
            )
            .route("/sessions/{user}", post(start_session).with_state(sessions.clone()))
            .merge(routes.into_router());
        Instance { api: Api::serve(app).await, issuer, sessions, api_keys }
    }
}

async fn create_key(
    State(api_keys): State<ApiKeys>,
    caller: Principal,
) -> Result<String, Rejection> {
    Ok(api_keys.create(&caller, NewApiKey::new("export")).await?.key().to_owned())
}

async fn start_session(
    State(sessions): State<Sessions>,
    Path(user): Path<String>,
    head: Parts,
) -> Result<Response, Rejection> {
    let user = Principal::builder(user, Scheme::BASIC).build();
    let mut response = ().into_response();
    sessions.start(&user, &head, &mut response).await?;
    Ok(response)
}

impl Instance {
    /// Logs a user in, who has a password of this test.
    async fn log_in(&self, user: &str) -> Tokens {
        self.try_log_in(user, PASSWORD).await.expect("the password is right")
    }

    async fn try_log_in(&self, user: &str, password: &str) -> Option<Tokens> {
        let reply = self.post("/login", json!({ "username": user, "password": password })).await;
        Tokens::of(&reply, 401)
    }

    /// Refreshes a token. Returns `None` if it is rejected.
    async fn refresh(&self, token: &str) -> Option<Tokens> {
        let reply = self.post("/token/refresh", json!({ "refresh_token": token })).await;
        Tokens::of(&reply, 400)
    }

    async fn start_session(&self, user: &str) -> String {
        let request = self.api.request(Method::POST, &format!("/sessions/{user}"));
        let reply = Reply::to(request).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.headers[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned()
    }

    /// Creates an API key for the user of an access token.
    async fn create_key(&self, access: &str) -> String {
        let reply = self.api.request(Method::POST, "/api-keys").bearer_auth(access);
        let reply = Reply::to(reply).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.body
    }

    /// Returns who the caller with this access token is, or `None` if it is rejected.
    async fn token_user(&self, access: &str) -> Option<String> {
        user_of(self.api.get("/me").bearer_auth(access)).await
    }

    /// Returns who the caller with this cookie is.
    async fn session_user(&self, cookie: &str) -> Option<String> {
        user_of(self.api.get("/me").header("cookie", cookie)).await
    }

    /// Returns who the caller with this API key is.
    async fn key_user(&self, key: &str) -> Option<String> {
        user_of(self.api.get("/me").header("x-api-key", key)).await
    }

    async fn post(&self, path: &str, parameters: Value) -> Reply {
        let request = self.api.request(Method::POST, path);
        let request = request.header("content-type", "application/json");
        Reply::to(request.body(parameters.to_string())).await
    }

    /// Waits until the keys that are due were fetched, and this token is rejected.
    async fn wait_until_rejected(&self, access: &str) {
        let is_rejected = async || self.token_user(access).await.is_none();
        wait_until("a rejection of the token", is_rejected).await;
    }

    /// Returns a verifier of another service, which does not share the store.
    fn other_service(&self, clock: &TestClock) -> JwtAuth {
        let url = format!("http://{}/.well-known/jwks.json", self.api.address);
        JwtAuth::builder(Jwks::url(url))
            .issuer(ISSUER)
            .audience("orders")
            .clock(clock.clone())
            .observer(|_: &Event<'_>| {})
            .build()
            .unwrap()
    }

    /// Ends all logins and sessions of all users.
    async fn log_out_everyone(&self) {
        self.issuer.revocations().issuer(ISSUER).await.unwrap();
        self.sessions.revocations().issuer("").await.unwrap();
    }
}

impl Tokens {
    /// Returns `None` for a rejection with this status.
    fn of(reply: &Reply, rejected: u16) -> Option<Self> {
        if reply.status == rejected {
            return None;
        }
        assert_eq!(reply.status, 200, "{reply:?}");
        let body: Value = serde_json::from_str(&reply.body).unwrap();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        Some(Self { access: text("access_token"), refresh: text("refresh_token") })
    }
}

async fn user_of(request: RequestBuilder) -> Option<String> {
    let reply = Reply::to(request).await;
    match reply.status.as_u16() {
        200 => Some(reply.body.strip_prefix("hello ").unwrap().to_owned()),
        401 => None,
        _ => panic!("{reply:?}"),
    }
}

/// The names of events.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<&'static str>>>);

impl Events {
    /// Returns how often an event occurred since the last call.
    fn take(&self, name: &str) -> usize {
        let mut events = self.0.lock().unwrap();
        let before = events.len();
        events.retain(|event| *event != name);
        before - events.len()
    }
}

impl Observe for Events {
    fn observed(&self, event: &Event<'_>) {
        self.0.lock().unwrap().push(event.name());
    }
}

/// Returns `hello` of a user, to compare it.
fn is(found: &Option<String>, user: &str) -> bool {
    found.as_deref() == Some(user)
}
