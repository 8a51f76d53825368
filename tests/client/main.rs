//! Client middleware: real HTTP clients and a server with authentication on loopback.

mod destinations;
mod dpop;
mod dpop_server;
mod dpop_tokens;
mod exchanged_token;
mod frameworks;
mod readiness;
mod refresh_grant;
mod refreshing;
mod retry_unauthorized;
mod runtimes;
mod token_endpoint;
mod token_routes;
mod token_server;
mod tonic;

use std::{
    collections::HashSet,
    error::Error,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use axum::{
    Router,
    extract::Request as Incoming,
    middleware::{Next, from_fn},
    response::{IntoResponse as _, Response as AxumResponse},
    routing::get,
};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header::AUTHORIZATION};
use http_body::Body;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::json;
use tokio::{net::TcpListener, sync::watch};
use tower::{Layer as _, Service, ServiceExt as _};
use tower_auth::{
    AuthenticateLayer, BasicAuth, JwtAuth, Principal, any_of,
    basic::Users,
    client::{Attach, AttachError, AttachErrorKind, AttachLayer, AuthorizationSource, Token},
    clock::Clock as _,
    jwt::Keys,
};
use tower_auth_test_support::{
    stub::ShiftedClock,
    token::{AUDIENCE, ISSUER, Signer},
};

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;
pub(crate) type HyperClient = Client<HttpConnector, Empty<Bytes>>;

/// A token source with a mock clock. The subject of each token is its number, as in `token-1`.
#[derive(Clone)]
pub(crate) struct Issuer {
    signer: Arc<Signer>,
    pub(crate) clock: ShiftedClock,
    fetches: Arc<AtomicUsize>,
    mode: Arc<watch::Sender<IssuerMode>>,
}

#[derive(Clone, Copy)]
pub(crate) enum IssuerMode {
    Issue,
    Fail,
    /// Hangs until the mode changes.
    Hang,
    Panic,
}

impl Issuer {
    pub(crate) fn new(mode: IssuerMode) -> Self {
        Self {
            signer: Arc::new(Signer::generate("HS256", "1")),
            clock: ShiftedClock::default(),
            fetches: Arc::default(),
            mode: Arc::new(watch::channel(mode).0),
        }
    }

    pub(crate) fn set_mode(&self, mode: IssuerMode) {
        self.mode.send_replace(mode);
    }

    pub(crate) fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    /// Signs a JWT that is valid for ten minutes.
    pub(crate) fn jwt(&self, subject: &str) -> String {
        let now = self.clock.clock().now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": subject, "exp": now + 600 });
        self.signer.token(&claims)
    }

    pub(crate) async fn issue(&self) -> Result<Token, BoxError> {
        let number = self.fetches.fetch_add(1, Ordering::SeqCst) + 1;
        let mut modes = self.mode.subscribe();
        loop {
            let mode = *modes.borrow_and_update();
            match mode {
                IssuerMode::Issue => {
                    let token = Token::new(self.jwt(&format!("token-{number}")));
                    return Ok(token.expires_in(Duration::from_secs(600)));
                }
                IssuerMode::Fail => return Err("the vault is sealed".into()),
                IssuerMode::Hang => modes.changed().await.unwrap(),
                IssuerMode::Panic => panic!("a bug"),
            }
        }
    }

    /// Returns a source for [`RefreshingToken`](tower_auth::client::RefreshingToken).
    pub(crate) fn source(
        &self,
    ) -> impl Fn() -> std::pin::Pin<Box<dyn Future<Output = Result<Token, BoxError>> + Send>> + use<>
    {
        let issuer = self.clone();
        move || {
            let issuer = issuer.clone();
            Box::pin(async move { issuer.issue().await })
        }
    }

    pub(crate) fn validator(&self) -> JwtAuth {
        let keys = Keys::from_json(json!({ "keys": [self.signer.jwk()] }).to_string()).unwrap();
        let tokens = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE);
        tokens.clock(self.clock.clock()).build().unwrap()
    }
}

/// A server that accepts tokens of the issuer and the password of `alice`, and returns the subject.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) port: u16,
    /// The headers of each request.
    seen: Arc<Mutex<Vec<HeaderMap>>>,
    revoked: Arc<Mutex<HashSet<String>>>,
}

impl Api {
    pub(crate) async fn start(issuer: &Issuer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let api = Self { port, seen: Arc::default(), revoked: Arc::default() };
        let staff = BasicAuth::new("staff", Users::new([("alice", "open: sesame £")]).unwrap());
        let (seen, revoked) = (Arc::clone(&api.seen), Arc::clone(&api.revoked));
        let greet = async move |caller: Principal| -> AxumResponse {
            if revoked.lock().unwrap().contains(caller.subject()) {
                return StatusCode::UNAUTHORIZED.into_response();
            }
            caller.subject().to_owned().into_response()
        };
        let app = Router::new()
            .route("/", get(greet))
            .layer(AuthenticateLayer::new(any_of((issuer.validator(), staff.unwrap()))))
            .layer(from_fn(move |request: Incoming, next: Next| {
                seen.lock().unwrap().push(request.headers().clone());
                next.run(request)
            }));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        api
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    pub(crate) fn hits(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// Returns the `Authorization` lines of the last request.
    pub(crate) fn last_authorization(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let lines = seen.last().unwrap().get_all(AUTHORIZATION).iter();
        lines.map(|line| line.to_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn revoke(&self, subject: &str) {
        self.revoked.lock().unwrap().insert(subject.to_owned());
    }
}

pub(crate) fn hyper_client() -> HyperClient {
    Client::builder(TokioExecutor::new()).build_http()
}

/// Returns a hyper-util client that attaches these credentials.
pub(crate) fn client<C: AuthorizationSource>(credentials: C) -> Attach<HyperClient, C> {
    AttachLayer::new(credentials).layer(hyper_client())
}

/// Sends a GET request and returns the status and the body.
pub(crate) async fn send_get<S, B>(service: &S, url: &str) -> Result<(u16, String), BoxError>
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error: Into<BoxError>> + Clone,
    B: Body<Data: Send, Error: Into<BoxError>>,
{
    let request = Request::get(url).body(Empty::new()).unwrap();
    let response = service.clone().oneshot(request).await.map_err(Into::into)?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(Into::into)?.to_bytes();
    Ok((status, String::from_utf8(body.to_vec()).unwrap()))
}

/// Returns why a request was not sent.
pub(crate) fn error_kind<T: std::fmt::Debug>(result: Result<T, BoxError>) -> AttachErrorKind {
    result
        .unwrap_err()
        .downcast_ref::<AttachError>()
        .expect("the error is not an AttachError")
        .kind()
}

pub(crate) fn ok(subject: &str) -> (u16, String) {
    (200, subject.to_owned())
}
