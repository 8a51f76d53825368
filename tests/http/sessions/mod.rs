//! Sessions with cookies, over real sockets.

mod composition;
mod cookies;
mod cross_site;
mod life_cycle;
mod outage;
mod races;
mod servers;
mod several;
mod timeouts;
mod websocket;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{
        Method, StatusCode,
        header::{CACHE_CONTROL, SET_COOKIE},
        request::Parts,
    },
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use serde_json::json;
use tower_auth::{
    AuthenticateLayer, Principal, Rejection, RequireAuthentication, RequireRoles, RequireScopes,
    Scheme,
    observe::{Event, Observe},
    session::{SessionInfo, Sessions, SessionsBuilder},
    test_util::TestClock,
};
use tower_auth_test_support::{
    api::{Api, Reply, greet},
    store::SwitchedStore,
    user_agent::UserAgent,
};

const COOKIE_NAME: &str = "__Host-session";
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// Sessions with a mock clock, and a store that can fail.
struct Setup {
    clock: TestClock,
    store: SwitchedStore,
    sessions: Sessions,
    events: Events,
}

impl Setup {
    fn new() -> Self {
        Self::with(|sessions| sessions)
    }

    fn with(configure: impl FnOnce(SessionsBuilder) -> SessionsBuilder) -> Self {
        let clock = TestClock::new();
        let store = SwitchedStore::new(clock.clone());
        let events = Events::default();
        let sessions = Sessions::builder(store.sealed());
        let sessions = sessions.clock(clock.clone()).observer(events.clone());
        Self { sessions: configure(sessions).build().unwrap(), clock, store, events }
    }

    async fn serve(&self) -> Service {
        Service::start(self.app()).await
    }

    /// Returns an application with a login form and pages for users who are logged in.
    fn app(&self) -> Router {
        app(&self.sessions, &self.clock)
    }
}

fn app(sessions: &Sessions, clock: &TestClock) -> Router {
    let fresh = RequireAuthentication::max_age(5 * MINUTE).clock(clock.clone());
    Router::new()
        .route("/me", get(greet).post(greet).put(greet))
        .route("/read", get(greet).layer(RequireScopes::all("read")))
        .route("/delete", get(greet).layer(RequireScopes::all("delete")))
        .route("/admin", get(greet).layer(RequireRoles::all("admin")))
        .route("/fresh", get(greet).layer(fresh))
        .route("/claims", get(claims))
        .route("/logout", post(log_out))
        .route("/logout/all", post(log_out_everywhere))
        .route("/sessions", get(list))
        .route("/sessions/{id}/end", post(end_one))
        .layer(AuthenticateLayer::new(sessions.clone()))
        // A login does not need a session.
        .route("/login/{user}", post(log_in))
        .with_state(sessions.clone())
}

/// Returns the principal of a user. `alice` is an administrator.
fn user(name: &str) -> Principal {
    let roles: &[&str] = if name == "alice" { &["admin"] } else { &[] };
    let claims = json!({ "roles": roles, "email": format!("{name}@example.com") });
    let user = Principal::builder(name, Scheme::BASIC).scopes(["read", "write"]);
    user.claims(&claims).unwrap().build()
}

async fn log_in(
    State(sessions): State<Sessions>,
    Path(name): Path<String>,
    head: Parts,
) -> Result<Response, Rejection> {
    let mut response = Redirect::to("/me").into_response();
    sessions.start(&user(&name), &head, &mut response).await?;
    Ok(response)
}

async fn log_out(
    State(sessions): State<Sessions>,
    caller: Principal,
) -> Result<Response, Rejection> {
    let mut response = StatusCode::NO_CONTENT.into_response();
    sessions.end(&caller, &mut response).await?;
    Ok(response)
}

async fn log_out_everywhere(
    State(sessions): State<Sessions>,
    caller: Principal,
) -> Result<StatusCode, Rejection> {
    sessions.end_all(&caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list(
    State(sessions): State<Sessions>,
    caller: Principal,
) -> Result<Json<Vec<String>>, Rejection> {
    let found = sessions.list(&caller).await?;
    Ok(Json(found.iter().map(|session| session.id().to_owned()).collect()))
}

async fn end_one(
    State(sessions): State<Sessions>,
    Path(id): Path<String>,
    caller: Principal,
) -> Result<StatusCode, Rejection> {
    match sessions.end_one(&caller, &id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Ok(StatusCode::NOT_FOUND),
    }
}

/// Returns what a handler can read of the caller.
async fn claims(caller: Principal) -> Json<serde_json::Value> {
    let session = caller.extension::<SessionInfo>().map(|session| session.id().to_owned());
    Json(json!({
        "sub": caller.subject(),
        "email": caller.claim::<String>("email").ok(),
        "scopes": caller.scopes().iter().collect::<Vec<_>>(),
        "session": session,
    }))
}

/// A service on loopback.
struct Service {
    api: Api,
}

impl Service {
    async fn start(app: Router) -> Self {
        Self { api: Api::serve_with_addresses(app).await }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.api.address)
    }

    /// Returns a browser in which this user is logged in.
    async fn browser_of(&self, name: &str) -> UserAgent {
        let browser = UserAgent::new();
        self.log_in(&browser, name).await;
        browser
    }

    async fn log_in(&self, browser: &UserAgent, name: &str) -> Reply {
        let reply = self.post(browser, &format!("/login/{name}")).await;
        assert_eq!(reply.status, 303, "{reply:?}");
        checked(reply)
    }

    /// Returns the status of a page.
    async fn status(&self, browser: &UserAgent, path: &str) -> u16 {
        self.get(browser, path).await.status.as_u16()
    }

    async fn get(&self, browser: &UserAgent, path: &str) -> Reply {
        checked(browser.open(&self.url(path)).await)
    }

    /// Submits a form of a page of this service.
    async fn post(&self, browser: &UserAgent, path: &str) -> Reply {
        checked(browser.submit(&self.url("/"), &self.url(path), "").await)
    }

    fn cookie(&self, browser: &UserAgent) -> Option<String> {
        browser.cookie(&self.url("/"), COOKIE_NAME)
    }

    fn set_cookie(&self, browser: &UserAgent, value: &str) {
        browser.set_cookie(&self.url("/"), COOKIE_NAME, value);
    }

    /// Returns the status of a request with this value of the cookie.
    async fn status_of(&self, value: &str) -> u16 {
        let browser = UserAgent::new();
        self.set_cookie(&browser, value);
        self.status(&browser, "/me").await
    }

    async fn sessions(&self, browser: &UserAgent) -> Vec<String> {
        let reply = self.get(browser, "/sessions").await;
        assert_eq!(reply.status, 200, "{reply:?}");
        serde_json::from_str(&reply.body).unwrap()
    }
}

/// Checks what holds for every response.
fn checked(reply: Reply) -> Reply {
    if reply.headers.contains_key(SET_COOKIE) {
        assert_eq!(reply.headers[CACHE_CONTROL], "no-store", "{reply:?}");
    }
    assert_eq!(reply.headers.contains_key("retry-after"), reply.status == 503, "{reply:?}");
    if reply.status == 401 {
        assert!(reply.challenges()[0].starts_with("Cookie"), "{reply:?}");
    }
    reply
}

/// Records events as text.
#[derive(Clone, Default)]
pub(crate) struct Events(Arc<Mutex<Vec<String>>>);

impl Observe for Events {
    fn observed(&self, event: &Event<'_>) {
        let text = match event {
            Event::KeysFetched { .. } | Event::KeySetChanged { .. } => return,
            // The reason is the source of the error.
            Event::LoginFailed { error, .. } => {
                let mut text = format!("LoginFailed {:?}: {error}", error.kind());
                let mut source = std::error::Error::source(error);
                while let Some(reason) = source {
                    text = format!("{text}: {reason}");
                    source = reason.source();
                }
                text
            }
            _ => format!("{event:?}"),
        };
        self.0.lock().unwrap().push(text);
    }
}

impl Events {
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Sends a request as a program that is no browser.
async fn send_as_program(service: &Service, method: Method, path: &str, cookie: &str) -> Reply {
    Reply::to(service.api.request(method, path).header("cookie", cookie)).await
}
