//! No event of any module contains a secret, in any form that an observer can read.

use std::{
    collections::BTreeSet,
    error::Error,
    fmt::Write as _,
    io,
    sync::{Arc, Mutex},
};

use axum::{Router, routing::get};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header::COOKIE};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tower_auth::{
    AuthenticateLayer, BasicAuth, Principal, Scheme,
    api_key::{ApiKeys, MemoryApiKeys, NewApiKey},
    basic::Users,
    client::{RefreshGrant, RefreshingToken, TokenEndpoint, WebhookSigner},
    issue::{TokenIssuer, TokenRoutes},
    observe::{AuditLog, Event, Metrics, Observe, Tracing},
    oidc_login::{Login, OidcLogin},
    session::Sessions,
    store::{Memory, SealedStore, StoreSecret},
    test_util::{TestClock, principal},
    webhook::{WebhookFormat, WebhookLayer},
};
use tower_auth_test_support::{
    api::{Api, Issuer, Reply},
    oidc_stub::{CLIENT_ID, CLIENT_SECRET, OidcStub},
    user_agent::UserAgent,
};

use super::{ALONE, Log};

/// What observers can read of all events, and the secrets that must not be in it.
#[derive(Clone, Default)]
struct Watch {
    text: Arc<Mutex<String>>,
    names: Arc<Mutex<BTreeSet<&'static str>>>,
    secrets: Arc<Mutex<BTreeSet<String>>>,
    outputs: Outputs,
}

/// The observers of this crate that write, and what they have written.
#[derive(Clone)]
struct Outputs {
    audit: AuditLog,
    audited: Log,
    metrics: Metrics,
    scrape: PrometheusHandle,
}

impl Default for Outputs {
    fn default() -> Self {
        let audited = Log::default();
        let audit = AuditLog::writer(audited.clone()).build().unwrap();
        let recorder = PrometheusBuilder::new().build_recorder();
        let scrape = recorder.handle();
        let metrics = Metrics::builder().issuers("https://login.example").recorder(recorder);
        Self { audit, audited, metrics: metrics.build(), scrape }
    }
}

impl Watch {
    /// Adds what the audit log and the metrics have written to the text.
    async fn add_outputs(&self) {
        let Outputs { audit, audited, scrape, .. } = &self.outputs;
        audit.flush().await.unwrap();
        assert_eq!(audit.dropped().total(), 0);
        let audited = String::from_utf8(audited.0.lock().unwrap().clone()).unwrap();
        assert!(audited.contains(r#""event":"logged_in""#), "{audited}");
        let scraped = scrape.render();
        assert!(scraped.contains("tower_auth_admissions"), "{scraped}");
        let mut text = self.text.lock().unwrap();
        writeln!(text, "{audited} {scraped}").unwrap();
    }

    fn secret(&self, secret: impl Into<String>) -> String {
        let secret = secret.into();
        assert!(secret.len() >= 8, "{secret:?} is too short to be found");
        self.secrets.lock().unwrap().insert(secret.clone());
        secret
    }

    /// Keeps the `Set-Cookie` values of a response as secrets, and returns them as a `Cookie`.
    fn cookies(&self, headers: &HeaderMap) -> String {
        let lines = headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap());
        let pairs = lines.map(|line| line.split(';').next().unwrap());
        let pairs: Vec<_> = pairs.filter(|pair| !pair.ends_with('=')).collect();
        for pair in &pairs {
            self.secret(pair.split_once('=').unwrap().1);
        }
        pairs.join("; ")
    }

    /// Returns an observer that also writes to the log.
    fn observer(&self) -> impl Observe + Clone + use<> {
        #[derive(Clone)]
        struct Pair(Watch);
        impl Observe for Pair {
            fn observed(&self, event: &Event<'_>) {
                let Outputs { audit, metrics, .. } = &self.0.outputs;
                let writers = (audit.clone(), metrics.clone());
                (Tracing::default(), (self.0.clone(), writers)).observed(event);
            }
        }
        Pair(self.clone())
    }

    /// Fails if one of the secrets, or an encoded form of it, is in the text.
    fn check(&self, log: &Log) {
        let mut text = self.text.lock().unwrap().clone();
        // Other crates log requests at the level trace.
        let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
        for line in log.lines().filter(|line| line.contains(" tower_auth: ")) {
            writeln!(text, "{line}").unwrap();
        }
        let folded = text.to_ascii_lowercase();
        for secret in &*self.secrets.lock().unwrap() {
            let hex: String = secret.bytes().fold(String::new(), |mut hex, byte| {
                write!(hex, "{byte:02x}").unwrap();
                hex
            });
            let encoded = [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE_NO_PAD].map(|e| e.encode(secret));
            for form in [secret.clone()].into_iter().chain(encoded) {
                assert!(!text.contains(&form), "{form} of {secret:?} is in {text}");
            }
            assert!(!folded.contains(&hex), "{secret:?} is in hexadecimal in {text}");
            // A part of a token that is a secret itself, such as the signature.
            for part in secret.split('.').filter(|part| part.len() >= 20) {
                assert!(!text.contains(part), "{part} of {secret:?} is in {text}");
            }
        }
    }
}

impl Observe for Watch {
    fn observed(&self, event: &Event<'_>) {
        let mut text = self.text.lock().unwrap();
        writeln!(text, "{event:?} {event:#?} {} {}", event.name(), event.class()).unwrap();
        if let Some(request) = event.request() {
            let (method, path, route) = (request.method(), request.path(), request.route());
            writeln!(text, "{method} {path} {route:?} {:?}", request.client_address()).unwrap();
        }
        let of_user = (event.scheme(), event.issuer(), event.subject(), event.principal());
        let of_decision = (event.policy(), event.waited(), event.rejection(), event.error_type());
        writeln!(text, "{of_user:?} {of_decision:?}").unwrap();
        let mut next: Option<&dyn Error> = event.error();
        while let Some(error) = next {
            writeln!(text, "{error} {error:?} {error:#?}").unwrap();
            next = error.source();
        }
        self.names.lock().unwrap().insert(event.name());
    }
}

const KEY: [u8; 32] = *b"the key of the store, 32 bytes!!";

fn sealed(watch: &Watch) -> SealedStore {
    let secret = StoreSecret::new(KEY).unwrap();
    SealedStore::new(Memory::new(), secret).observer(watch.observer())
}

async fn post(request: RequestBuilder, body: &Value) -> Reply {
    let request = request.header("content-type", "application/json");
    Reply::to(request.body(body.to_string())).await
}

/// The runtime has one thread, so that the subscriber of this thread sees all events.
#[tokio::test]
async fn no_event_of_any_module_contains_a_secret() {
    let _alone = ALONE.lock().await;
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE);
    let subscriber = subscriber.with_writer(log.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let watch = Watch::default();
    watch.secret(std::str::from_utf8(&KEY).unwrap());

    credentials_of_requests(&watch).await;
    api_keys(&watch).await;
    sessions(&watch).await;
    issued_tokens(&watch).await;
    logins_at_a_provider(&watch).await;
    tokens_of_clients(&watch).await;
    webhooks(&watch).await;

    watch.add_outputs().await;
    watch.check(&log);
    let names = watch.names.lock().unwrap();
    for name in [
        "admitted",
        "rejected",
        "api_key_created",
        "api_key_used",
        "api_key_revoked",
        "session_started",
        "session_ended",
        "signing_keys_changed",
        "logged_in",
        "tokens_refreshed",
        "refresh_token_reused",
        "logged_out",
        "client_token_issued",
        "token_exchanged",
        "login_failed",
        "token_fetch_failed",
        "token_fetched",
        "refresh_token_not_saved",
        "webhook",
    ] {
        assert!(names.contains(name), "no {name} in {names:?}");
    }
}

async fn credentials_of_requests(watch: &Watch) {
    let issuer = Issuer::new();
    let password = watch.secret("correct-horse-battery");
    let users = Users::new([("alice", &*password)]).unwrap();
    let staff = BasicAuth::new("staff", users).unwrap();
    let layers = tower_auth::any_of((issuer.auth(), staff.clone()));
    let app = Router::new().route("/{id}", get(async || "ok"));
    let app = app.layer(AuthenticateLayer::new(layers).observer(watch.observer()));
    let api = Api::serve(app).await;
    let token = watch.secret(issuer.token_with(json!({ "jti": watch.secret("id-of-the-token") })));
    let expired = watch.secret(issuer.expired_token());
    let wrong_issuer = watch.secret(issuer.token_with(json!({ "iss": "https://other.example" })));
    let garbage = watch.secret("no-token-at-all");
    for token in [&token, &expired, &wrong_issuer, &garbage, &format!("{token}{garbage}")] {
        let query = watch.secret("query-of-the-request");
        api.get_with_token(token, &format!("/1?access_token={query}")).await;
        api.get_with_token(&format!("{token} {garbage}"), "/1").await;
    }
    for password in [&*password, &watch.secret("wrong-password")] {
        api.get_as_staff(password, "/1").await;
        let mut head = Request::new(()).into_parts().0;
        head.headers.insert("authorization", watch.secret("Basic-secret").parse().unwrap());
        let _ = staff.verify("alice", password, &head).await;
    }
}

async fn api_keys(watch: &Watch) {
    let keys = ApiKeys::builder("acme", MemoryApiKeys::new()).observer(watch.observer());
    let keys = keys.dangerous_trust_owners().build().unwrap();
    let created = keys.dangerous_create_for("alice", NewApiKey::new("export")).await.unwrap();
    let key = watch.secret(created.key());
    let layer = AuthenticateLayer::new(tower_auth::bearer::BearerAuth::new(keys.clone()));
    let app = Router::new().route("/", get(async || "ok"));
    let api = Api::serve(app.layer(layer.observer(watch.observer()))).await;
    assert_eq!(api.get_with_token(&key, "/").await.status, 200);
    let wrong = watch.secret(format!("{}0", &key[..key.len() - 1]));
    api.get_with_token(&wrong, "/").await;
    keys.revoke_all("alice").await.unwrap();
    assert_eq!(api.get_with_token(&key, "/").await.status, 401);
}

async fn sessions(watch: &Watch) {
    let sessions = Sessions::builder(sealed(watch)).observer(watch.observer()).build().unwrap();
    let head = Request::new(()).into_parts().0;
    let mut response = Response::new(());
    sessions.start(&principal("alice").build(), &head, &mut response).await.unwrap();
    let cookie = watch.cookies(response.headers());
    let app = Router::new().route("/", get(async || "ok"));
    let layer = AuthenticateLayer::new(sessions.clone()).observer(watch.observer());
    let api = Api::serve(app.layer(layer)).await;
    assert_eq!(Reply::to(api.get("/").header(COOKIE, &cookie)).await.status, 200);
    Reply::to(api.get("/").header(COOKIE, format!("{cookie}x"))).await;
    sessions.end_all("alice").await.unwrap();
    assert_eq!(Reply::to(api.get("/").header(COOKIE, &cookie)).await.status, 401);
}

async fn issued_tokens(watch: &Watch) {
    let clock = TestClock::new();
    let store = Memory::with_clock(clock.clone());
    let store = SealedStore::new(store, StoreSecret::new(KEY).unwrap()).observer(watch.observer());
    let issuer = TokenIssuer::builder().issuer("https://login.example").audience("orders");
    let issuer = issuer.service_audiences(["invoices"]).store(store);
    let issuer = issuer.clock(clock.clone()).observer(watch.observer()).build().unwrap();
    let password = watch.secret("another-password");
    let alice = Principal::builder("alice", Scheme::BASIC).scopes(["read"]).build();
    let staff = BasicAuth::new("staff", Users::default().with(alice, &password).unwrap()).unwrap();
    let client_secret = watch.secret("secret-of-orders");
    let orders = Principal::builder("orders", Scheme::BASIC).scopes(["read"]).build();
    let clients = Users::default().with(orders, &client_secret).unwrap();
    let routes = TokenRoutes::builder(issuer, staff)
        .client_passwords(BasicAuth::new("clients", clients).unwrap())
        .observer(watch.observer());
    let api = Api::serve(routes.build().unwrap().into_router()).await;
    let request = |path: &str| api.request(Method::POST, path);
    let log_in = async |password: &str| {
        post(request("/login"), &json!({ "username": "alice", "password": password })).await
    };
    let tokens_of = |reply: &Reply| {
        let body: Value = serde_json::from_str(&reply.body).unwrap();
        for name in ["access_token", "refresh_token"] {
            if let Some(token) = body[name].as_str() {
                watch.secret(token);
            }
        }
        body
    };
    assert_eq!(log_in(&watch.secret("a-wrong-password")).await.status, 401);
    let tokens = tokens_of(&log_in(&password).await);
    let refresh = async |token: &Value| {
        tokens_of(&post(request("/token/refresh"), &json!({ "refresh_token": token })).await)
    };
    let next = refresh(&tokens["refresh_token"]).await;
    for (secret, status) in [(&*client_secret, 200), (&watch.secret("no-secret-of-orders"), 401)] {
        let request = |body: &str| {
            let request = request("/token").basic_auth("orders", Some(secret));
            let form = "application/x-www-form-urlencoded";
            request.header("content-type", form).body(body.to_owned())
        };
        let reply = Reply::to(request("grant_type=client_credentials")).await;
        assert_eq!(reply.status, status, "{reply:?}");
        if status == 200 {
            tokens_of(&reply);
        }
        let token = next["access_token"].as_str().unwrap();
        let exchange = format!(
            "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&audience=invoices\
             &subject_token_type=urn:ietf:params:oauth:token-type:access_token&subject_token={token}"
        );
        let reply = Reply::to(request(&exchange)).await;
        assert_eq!(reply.status, status, "{reply:?}");
        if status == 200 {
            tokens_of(&reply);
        }
    }
    // The first token again, after the grace period.
    clock.advance(std::time::Duration::from_secs(120));
    refresh(&tokens["refresh_token"]).await;
    let tokens = tokens_of(&log_in(&password).await);
    for body in [&tokens["refresh_token"], &json!(watch.secret("no-refresh-token"))] {
        post(request("/logout"), &json!({ "refresh_token": body })).await;
        post(request("/revoke"), &json!({ "token": body })).await;
    }
}

async fn logins_at_a_provider(watch: &Watch) {
    let clock = TestClock::new();
    let provider = OidcStub::start(clock.clone()).await;
    watch.secret(CLIENT_SECRET);
    let sessions = Sessions::builder(sealed(watch)).clock(clock.clone());
    let sessions = sessions.observer(watch.observer()).build().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let login = OidcLogin::discover(provider.issuer())
        .client_id(CLIENT_ID)
        .client_secret(CLIENT_SECRET)
        .redirect_uri(format!("{url}/callback"))
        .then(async |login: Login| Ok(login.principal().build()))
        .sessions(sessions)
        .clock(clock)
        .observer(watch.observer())
        .build()
        .unwrap();
    tokio::spawn(async move { axum::serve(listener, login.into_router()).await.unwrap() });
    let browser = UserAgent::new();
    browser.visit(&format!("{url}/login")).await;
    let code = watch.secret("a-made-up-code");
    let state = watch.secret("a-made-up-state");
    browser.open(&format!("{url}/callback?code={code}&state={state}")).await;
    for secret in provider.secrets() {
        watch.secret(secret);
    }
    for cookie in browser.cookies(&url).into_values() {
        if cookie.value.len() >= 8 {
            watch.secret(cookie.value);
        }
    }
}

async fn tokens_of_clients(watch: &Watch) {
    let first = watch.secret("refresh-token-1");
    let access = watch.secret("access-token-1");
    let answer = json!({
        "access_token": access,
        "token_type": "Bearer",
        "expires_in": 1,
        "refresh_token": watch.secret("refresh-token-2"),
    });
    let answers =
        Arc::new(Mutex::new(vec![(400, json!({ "error": "invalid_grant" })), (200, answer)]));
    let send = move |_: Request<Bytes>| {
        let (status, body) = answers.lock().unwrap().pop().unwrap_or((500, json!({})));
        let response = Response::builder().status(status).body(Bytes::from(body.to_string()));
        std::future::ready(Ok::<_, io::Error>(response.unwrap()))
    };
    let endpoint = TokenEndpoint::url("https://issuer.example/token").client(send).build().unwrap();
    let grant = RefreshGrant::new(endpoint, &*first).observer(watch.observer());
    let grant = grant.on_rotated(|_| std::future::ready(Err(io::Error::other("the disk is full"))));
    for _ in 0..2 {
        let source = RefreshingToken::new(grant.clone()).observer(watch.observer());
        let _ = source.header_value().await;
    }
}

async fn webhooks(watch: &Watch) {
    let secret =
        watch.secret(format!("whsec_{}", STANDARD.encode(b"the secret of the webhooks!!")));
    let signer = WebhookSigner::new(WebhookFormat::standard(), &secret).unwrap();
    let layer = WebhookLayer::builder(WebhookFormat::standard()).secret(&secret);
    let layer = layer.store(sealed(watch)).observer(watch.observer()).build().unwrap();
    let app = Router::new().route("/hook", axum::routing::post(async || "ok")).layer(layer);
    let api = Api::serve(app).await;
    let body = watch.secret("the body of the webhook");
    let headers = signer.headers("msg_1", &body).unwrap();
    for line in headers["webhook-signature"].to_str().unwrap().split(' ') {
        watch.secret(line.split_once(',').unwrap().1);
    }
    let send = async |body: &str| {
        let request = api.request(Method::POST, "/hook").headers(headers.clone());
        Reply::to(request.body(body.to_owned())).await.status.as_u16()
    };
    assert_eq!(send(&body).await, 200);
    assert_eq!(send(&body).await, 200);
    assert_eq!(send(&watch.secret("another body of the webhook")).await, 401);
}

/// The test can fail: each form of a secret is found.
#[test]
fn secret_in_any_form_is_found() {
    let watch = Watch::default();
    let secret = watch.secret("correct-horse");
    for form in [&*secret, &STANDARD.encode(&secret), "636f72726563742d686f727365"] {
        *watch.text.lock().unwrap() = format!("before {form} after");
        let check = || watch.check(&Log::default());
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check));
        assert!(found.is_err(), "{form}");
    }
}
