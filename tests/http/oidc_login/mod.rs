//! Login at a provider that misbehaves, over real sockets.

mod abandoned;
mod attacks;
mod backchannel;
mod faults;
mod flow;
mod form_post;
mod github;
mod id_token;
mod mix_up;
mod outage;
mod return_to;
mod skew;
mod step_up;

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::OriginalUri,
    http::{
        Method,
        header::{CACHE_CONTROL, LOCATION, SET_COOKIE},
    },
    routing::get,
};
use reqwest::Url;
use tokio::net::TcpListener;
use tower_auth::{
    AuthenticateLayer, Principal, Rejection, RequireAuthentication, RequireRoles, RequireScopes,
    oidc_login::{Login, OidcLogin, OidcLoginBuilder},
    session::{LoginRedirect, Sessions},
    test_util::TestClock,
};
use tower_auth_test_support::{
    api::Reply,
    oidc_stub::{CLIENT_ID, CLIENT_SECRET, OidcStub, Received, parameters},
    store::SwitchedStore,
    user_agent::UserAgent,
};

use super::sessions::Events;

const SESSION: &str = "__Host-session";

/// A service, its provider, and the clock of both.
struct Setup {
    clock: TestClock,
    provider: OidcStub,
    service: Service,
}

impl Setup {
    async fn new() -> Self {
        Self::with(|login| login).await
    }

    async fn with(configure: impl FnOnce(OidcLoginBuilder) -> OidcLoginBuilder) -> Self {
        let clock = TestClock::new();
        let provider = OidcStub::start(clock.clone()).await;
        let service = Service::start(&clock, provider.issuer(), configure).await;
        Self { clock, provider, service }
    }

    /// Logs in, and checks that it works.
    async fn browser(&self) -> UserAgent {
        let browser = UserAgent::new();
        self.service.log_in(&browser).await;
        browser
    }

    /// Starts a login, and returns the URL with which the provider sends the browser back.
    async fn callback_of(&self, browser: &UserAgent) -> String {
        self.service.callback_of(browser, "/login").await
    }

    /// Checks that a callback failed: no session was started, and the page is one for users.
    async fn assert_failed(&self, browser: &UserAgent, reply: &Reply, status: u16) {
        assert_eq!(reply.status, status, "{reply:?}");
        assert!(browser.cookie(&self.service.url, SESSION).is_none(), "{reply:?}");
        assert_is_error_page(reply);
        assert_eq!(self.service.fetch(browser, "/api/me").await.status, 401);
    }

    /// Checks that nothing that only the provider and the service may know has left the service.
    fn assert_no_secrets(&self, browser: &UserAgent, events: &[String]) {
        let secrets = self.provider.secrets();
        assert!(!secrets.is_empty());
        let cookies = browser.cookies(&self.service.url).into_iter();
        let cookies = cookies.map(|(name, cookie)| format!("{name}={}", cookie.value));
        let seen = browser.seen(&self.service.url).into_iter();
        for text in seen.chain(events.iter().cloned()).chain(cookies) {
            for secret in &secrets {
                assert!(!text.contains(secret), "{secret} in {text}");
            }
        }
    }
}

/// An application on loopback with pages that need a login.
#[derive(Clone)]
struct Service {
    url: String,
    store: SwitchedStore,
    sessions: Sessions,
    events: Events,
}

impl Service {
    async fn start(
        clock: &TestClock,
        issuer: &str,
        configure: impl FnOnce(OidcLoginBuilder) -> OidcLoginBuilder,
    ) -> Self {
        Self::start_with(clock, OidcLogin::discover(issuer), |login| configure(login.then(accept)))
            .await
    }

    async fn start_with(
        clock: &TestClock,
        login: OidcLoginBuilder,
        configure: impl FnOnce(OidcLoginBuilder) -> OidcLoginBuilder,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let store = SwitchedStore::new(clock.clone());
        let events = Events::default();
        let sessions = Sessions::builder(store.sealed());
        let sessions = sessions.clock(clock.clone()).observer(events.clone()).build().unwrap();
        let login = login
            .client_id(CLIENT_ID)
            .client_secret(CLIENT_SECRET)
            .redirect_uri(format!("{url}/callback"))
            .sessions(sessions.clone())
            .clock(clock.clone())
            .observer(events.clone());
        let login = configure(login).build().unwrap();
        let mut app = app(&sessions, clock);
        if let Ok(logout) = login.backchannel_logout() {
            app = app.route_service("/backchannel-logout", logout);
        }
        let app = app.merge(login.into_router());
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, store, sessions, events }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    async fn log_in(&self, browser: &UserAgent) -> Reply {
        let reply = browser.visit(&self.url("/account")).await;
        assert_eq!(reply.status, 200, "{reply:?} {:?}", self.events.take());
        assert!(browser.cookie(&self.url, SESSION).is_some());
        reply
    }

    /// Starts a login at this path, and returns the URL with which the provider sends the browser
    /// back.
    async fn callback_of(&self, browser: &UserAgent, path: &str) -> String {
        let url = self.url(path);
        let reply = browser.open(&url).await;
        let authorization = location(&reply);
        let reply = browser.follow_link(&authorization).await;
        location(&reply)
    }

    /// Sends the browser back from the provider, and follows no redirects.
    async fn call_back(&self, browser: &UserAgent, url: &str) -> Reply {
        checked_callback(browser.follow_link(url).await)
    }

    async fn fetch(&self, browser: &UserAgent, path: &str) -> Reply {
        browser.fetch(Method::GET, &self.url(path)).await
    }

    /// Submits a form of a page of this service.
    async fn post(&self, browser: &UserAgent, path: &str) -> Reply {
        browser.submit(&self.url("/"), &self.url(path), "").await
    }

    /// Returns the cookies of logins that have not ended.
    fn login_cookies(&self, browser: &UserAgent) -> Vec<String> {
        let names = browser.cookies(&self.url).into_keys();
        names.filter(|name| name.starts_with("__Host-login-")).collect()
    }
}

fn app(sessions: &Sessions, clock: &TestClock) -> Router {
    let fresh = RequireAuthentication::max_age(Duration::from_secs(300)).clock(clock.clone());
    let gold = RequireAuthentication::acr("urn:gold");
    let navigations = LoginRedirect::to("/login").step_up();
    Router::new()
        .route("/account", get(show).post(show))
        .route("/deep/{page}", get(show))
        .route("/staff", get(show).layer(RequireRoles::all("staff")))
        .route("/read", get(show).layer(RequireScopes::all("read")))
        .route("/fresh", get(show).layer(fresh))
        .route("/gold", get(show).layer(gold))
        .route("/api/me", get(show))
        .layer(AuthenticateLayer::new(sessions.clone()).responder(navigations))
        .route("/", get(async || "welcome"))
}

/// Returns the page and its reader.
async fn show(OriginalUri(uri): OriginalUri, caller: Principal) -> String {
    format!("{uri} for {} of {}", caller.subject(), caller.issuer().unwrap_or("nobody"))
}

async fn accept(login: Login) -> Result<Principal, Rejection> {
    Ok(login.principal().scopes("read").build())
}

fn location(reply: &Reply) -> String {
    assert!(reply.status.is_redirection(), "{reply:?}");
    reply.headers[LOCATION].to_str().unwrap().to_owned()
}

/// Checks what holds for every response of the callback.
fn checked_callback(reply: Reply) -> Reply {
    assert_eq!(reply.headers[CACHE_CONTROL], "no-store", "{reply:?}");
    assert_eq!(reply.headers["referrer-policy"], "no-referrer", "the code is in the URL");
    assert_eq!(reply.headers.contains_key("retry-after"), reply.status == 503, "{reply:?}");
    if reply.status != 303 {
        assert_is_error_page(&reply);
    }
    reply
}

/// Checks that a page is short, does not run scripts, and does not have text of the provider.
fn assert_is_error_page(reply: &Reply) {
    assert!(!reply.headers.contains_key(LOCATION), "{reply:?}");
    assert!(reply.headers["content-type"].to_str().unwrap().starts_with("text/html"), "{reply:?}");
    let policy = reply.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    assert!(reply.body.len() < 4_096, "{reply:?}");
    assert!(!reply.body.contains("<script"), "{reply:?}");
}

/// Returns the parameters of a URL.
fn query_of(url: &str) -> std::collections::BTreeMap<String, String> {
    parameters(Url::parse(url).unwrap().query().unwrap_or_default())
}

/// Returns a URL with another value of a parameter, or without it.
fn with_parameter(url: &str, name: &str, value: Option<&str>) -> String {
    let mut url = Url::parse(url).unwrap();
    let pairs: Vec<_> = url.query_pairs().into_owned().filter(|(other, _)| other != name).collect();
    url.query_pairs_mut().clear().extend_pairs(pairs);
    if let Some(value) = value {
        url.query_pairs_mut().append_pair(name, value);
    }
    url.to_string()
}

/// Returns the `Set-Cookie` lines of a response.
fn set_cookies(reply: &Reply) -> Vec<&str> {
    reply.headers.get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap()).collect()
}

/// Returns the only request of a path.
fn only(requests: Vec<Received>) -> Received {
    let [request] = <[Received; 1]>::try_from(requests).unwrap();
    request
}
