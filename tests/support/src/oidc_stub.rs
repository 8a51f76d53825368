//! An OpenID provider on loopback that a test can make misbehave, step by step.

mod authorize;
mod github;
mod token;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Notify};
use tower_auth::clock::Clock;

use crate::token::{Signer, encode, random};

pub const CLIENT_ID: &str = "app";
/// Long enough for HS256.
pub const CLIENT_SECRET: &str = "the client secret of the application";

/// The answer of one path, in place of the usual one.
#[derive(Clone, Debug)]
pub enum Fault {
    /// No answer until the fault changes.
    Hang,
    Status(u16),
    /// Status 200 with this media type and body.
    Body(&'static str, String),
    /// A temporary redirect.
    Redirect(String),
    /// A head and a part of the body, then a closed connection.
    Drop,
}

/// How ID tokens are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Signature {
    #[default]
    Published,
    /// With a key that is not published, but with the id of one that is.
    OtherKey,
    /// HS256 with the client secret.
    ClientSecret,
    /// HS256 with the published public key as the secret.
    PublicKey,
    /// `alg: none` without a signature.
    None,
    /// The signature of another token.
    Foreign,
}

type Change<T> = Arc<dyn Fn(&mut T) + Send + Sync>;

/// The provider. Clones share it. It runs until the test's runtime ends.
#[derive(Clone)]
pub struct OidcStub(Arc<Stub>);

struct Stub {
    issuer: String,
    clock: Arc<dyn Clock>,
    key: Signer,
    other_key: Signer,
    settings: Mutex<Settings>,
    changed: Notify,
    log: Mutex<Log>,
}

/// What a test sets.
struct Settings {
    user: String,
    client_secret: String,
    auth_time: Option<u64>,
    acr: Option<String>,
    signature: Signature,
    faults: BTreeMap<String, Fault>,
    metadata: Change<Value>,
    /// Header and claims of the ID token.
    id_token: Change<(Value, Value)>,
    token_response: Change<Value>,
    user_info: Change<Value>,
    callback: Change<Vec<(String, String)>>,
}

/// What the stub has received and issued.
#[derive(Default)]
struct Log {
    requests: Vec<Received>,
    codes: BTreeMap<String, Code>,
    access_tokens: BTreeMap<String, String>,
    secrets: Vec<String>,
}

/// A request of the service or of the browser.
#[derive(Clone, Debug)]
pub struct Received {
    pub path: String,
    pub parameters: BTreeMap<String, String>,
    pub headers: HeaderMap,
}

#[derive(Clone)]
struct Code {
    request: BTreeMap<String, String>,
    user: String,
    uses: u32,
}

impl OidcStub {
    pub async fn start(clock: impl Clock) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stub = Self(Arc::new(Stub {
            issuer: format!("http://{}", listener.local_addr().unwrap()),
            clock: Arc::new(clock),
            key: Signer::generate("ES256", "key-1"),
            other_key: Signer::generate("ES256", "key-1"),
            settings: Mutex::new(Settings::new()),
            changed: Notify::new(),
            log: Mutex::default(),
        }));
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(metadata))
            .route("/jwks", get(keys))
            .route("/authorize", get(authorize::authorize))
            .route("/token", post(token::token))
            .route("/userinfo", get(token::user_info))
            .route("/login/oauth/authorize", get(authorize::authorize))
            .route("/login/oauth/access_token", post(github::access_token))
            .route("/user", get(github::user))
            .layer(from_fn_with_state(stub.clone(), misbehave))
            .with_state(stub.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        stub
    }

    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.0.issuer)
    }

    /// Sets who logs in. The default is `user-1`.
    pub fn set_user(&self, user: &str) {
        self.settings().user = user.to_owned();
    }

    /// Replaces the client secret. The provider then rejects the old one.
    pub fn set_client_secret(&self, secret: &str) {
        self.settings().client_secret = secret.to_owned();
    }

    /// Sets when the user entered the password. By default, for each login.
    pub fn set_auth_time(&self, auth_time: Option<u64>) {
        self.settings().auth_time = auth_time;
    }

    /// Sets `acr`. The default is the first of `acr_values`.
    pub fn set_acr(&self, acr: &str) {
        self.settings().acr = Some(acr.to_owned());
    }

    pub fn set_signature(&self, signature: Signature) {
        self.settings().signature = signature;
    }

    /// Sets the answer of a path, or with `None` the usual one.
    pub fn set_fault(&self, path: &str, fault: impl Into<Option<Fault>>) {
        match fault.into() {
            Some(fault) => self.settings().faults.insert(path.to_owned(), fault),
            None => self.settings().faults.remove(path),
        };
        self.0.changed.notify_waiters();
    }

    pub fn change_metadata(&self, change: impl Fn(&mut Value) + Send + Sync + 'static) {
        self.settings().metadata = Arc::new(change);
    }

    /// Changes the claims of the next ID tokens.
    pub fn change_claims(&self, change: impl Fn(&mut Value) + Send + Sync + 'static) {
        self.settings().id_token = Arc::new(move |(_, claims)| change(claims));
    }

    /// Changes the header of the next ID tokens.
    pub fn change_header(&self, change: impl Fn(&mut Value) + Send + Sync + 'static) {
        self.settings().id_token = Arc::new(move |(header, _)| change(header));
    }

    pub fn change_token_response(&self, change: impl Fn(&mut Value) + Send + Sync + 'static) {
        self.settings().token_response = Arc::new(change);
    }

    pub fn change_user_info(&self, change: impl Fn(&mut Value) + Send + Sync + 'static) {
        self.settings().user_info = Arc::new(change);
    }

    /// Changes the parameters with which the browser returns to the service.
    pub fn change_callback(
        &self,
        change: impl Fn(&mut Vec<(String, String)>) + Send + Sync + 'static,
    ) {
        self.settings().callback = Arc::new(change);
    }

    /// Restores the usual behaviour, but keeps the user.
    pub fn behave(&self) {
        let mut settings = self.settings();
        let user = std::mem::take(&mut settings.user);
        *settings = Settings { user, ..Settings::new() };
        drop(settings);
        self.0.changed.notify_waiters();
    }

    /// Returns the requests for this path until now.
    pub fn received(&self, path: &str) -> Vec<Received> {
        let log = self.0.log.lock().unwrap();
        log.requests.iter().filter(|request| request.path == path).cloned().collect()
    }

    /// Returns everything that only this provider and the service may know: codes, verifiers,
    /// tokens and the client secret.
    pub fn secrets(&self) -> Vec<String> {
        let mut secrets = self.0.log.lock().unwrap().secrets.clone();
        secrets.push(CLIENT_SECRET.to_owned());
        secrets
    }

    /// Returns how often each code was sent to the token endpoint.
    pub fn uses_of_codes(&self) -> Vec<u32> {
        self.0.log.lock().unwrap().codes.values().map(|code| code.uses).collect()
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.0.settings.lock().unwrap()
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.log.lock().unwrap()
    }

    fn now(&self) -> u64 {
        let now = self.0.clock.now().duration_since(std::time::UNIX_EPOCH);
        now.unwrap().as_secs()
    }

    /// Returns a new secret, and remembers it.
    fn secret(&self) -> String {
        let secret = encode(random(24));
        self.log().secrets.push(secret.clone());
        secret
    }
}

impl Settings {
    fn new() -> Self {
        Self {
            user: "user-1".to_owned(),
            client_secret: CLIENT_SECRET.to_owned(),
            auth_time: None,
            acr: None,
            signature: Signature::default(),
            faults: BTreeMap::new(),
            metadata: Arc::new(|_| {}),
            id_token: Arc::new(|_| {}),
            token_response: Arc::new(|_| {}),
            user_info: Arc::new(|_| {}),
            callback: Arc::new(|_| {}),
        }
    }
}

/// Records each request, and answers it if a fault is set.
async fn misbehave(State(stub): State<OidcStub>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let mut parameters = parameters(head.uri.query().unwrap_or_default());
    parameters.extend(self::parameters(&String::from_utf8_lossy(&body)));
    let path = head.uri.path().to_owned();
    let (headers, recorded) = (head.headers.clone(), path.clone());
    stub.log().requests.push(Received { path: recorded, parameters, headers });
    loop {
        let changed = stub.0.changed.notified();
        let fault = stub.settings().faults.get(&path).cloned();
        match fault {
            None => break,
            Some(Fault::Hang) => changed.await,
            Some(Fault::Status(status)) => {
                return StatusCode::from_u16(status).unwrap().into_response();
            }
            Some(Fault::Body(media_type, body)) => {
                return ([(header::CONTENT_TYPE, media_type)], body).into_response();
            }
            Some(Fault::Redirect(to)) => {
                let headers = [(header::LOCATION, to)];
                return (StatusCode::TEMPORARY_REDIRECT, headers).into_response();
            }
            Some(Fault::Drop) => {
                let parts = [
                    Ok(Bytes::from_static(b"{\"access_token\": \"")),
                    Err(std::io::Error::other("dropped")),
                ];
                return Body::from_stream(futures_util::stream::iter(parts)).into_response();
            }
        }
    }
    next.run(Request::from_parts(head, Body::from(body))).await
}

async fn metadata(State(stub): State<OidcStub>) -> Response {
    let mut metadata = json!({
        "issuer": stub.issuer(),
        "authorization_endpoint": stub.url("/authorize"),
        "token_endpoint": stub.url("/token"),
        "userinfo_endpoint": stub.url("/userinfo"),
        "end_session_endpoint": stub.url("/end"),
        "jwks_uri": stub.url("/jwks"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
    });
    let change = stub.settings().metadata.clone();
    change(&mut metadata);
    json_response(&metadata)
}

async fn keys(State(stub): State<OidcStub>) -> Response {
    json_response(&json!({ "keys": [stub.0.key.jwk()] }))
}

fn json_response(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// Decodes a query or a form.
pub fn parameters(form: &str) -> BTreeMap<String, String> {
    let mut url = Url::parse("http://form.example/").unwrap();
    url.set_query(Some(form));
    url.query_pairs().into_owned().collect()
}
