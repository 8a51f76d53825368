//! An issuer on loopback, with a token endpoint that tests control.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex},
};

use axum::{
    Form, Router,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch};
use tower_auth::client::{RefreshGrant, TokenEndpoint, TokenEndpointBuilder};

use crate::Issuer;

/// The refresh token `r1` is valid at first. The access tokens are JWTs of an [`Issuer`], whose
/// subjects are `token-1`, `token-2` and so on.
#[derive(Clone)]
pub(crate) struct TokenServer {
    pub(crate) url: String,
    state: Arc<ServerState>,
}

struct ServerState {
    issuer: Issuer,
    reply: watch::Sender<Reply>,
    metadata: Mutex<Value>,
    metadata_hits: Mutex<usize>,
    /// The number of the valid refresh token.
    generation: Mutex<u32>,
    requests: Mutex<Vec<TokenRequest>>,
}

#[derive(Clone)]
pub(crate) struct TokenRequest {
    pub(crate) authorization: Option<String>,
    pub(crate) form: HashMap<String, Vec<String>>,
}

/// What the token endpoint does.
#[derive(Clone)]
pub(crate) enum Reply {
    /// Replaces the refresh token, and rejects each older one.
    Rotate,
    /// Like `Rotate`, but accepts the previous refresh token once more.
    RotateWithGrace,
    /// Replaces the refresh token, but its response breaks off. The next request is like
    /// `RotateWithGrace` or `Rotate`.
    Lose {
        grace: bool,
    },
    /// Does not replace the refresh token.
    Keep,
    /// Does not respond until the reply changes.
    Hang,
    Status(u16, Value),
    Redirect(String),
}

impl TokenServer {
    pub(crate) async fn start(issuer: &Issuer, reply: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let metadata = json!({ "issuer": url, "token_endpoint": format!("{url}/token") });
        let state = Arc::new(ServerState {
            issuer: issuer.clone(),
            reply: watch::channel(reply).0,
            metadata: Mutex::new(metadata),
            metadata_hits: Mutex::default(),
            generation: Mutex::new(1),
            requests: Mutex::default(),
        });
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(metadata_route))
            .route("/token", post(token_route))
            .with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, state }
    }

    pub(crate) fn set_reply(&self, reply: Reply) {
        self.state.reply.send_replace(reply);
    }

    pub(crate) fn set_metadata(&self, member: &str, value: Value) {
        self.state.metadata.lock().unwrap()[member] = value;
    }

    pub(crate) fn metadata_hits(&self) -> usize {
        *self.state.metadata_hits.lock().unwrap()
    }

    /// Returns how often the token endpoint was requested.
    pub(crate) fn hits(&self) -> usize {
        self.state.requests.lock().unwrap().len()
    }

    pub(crate) fn last_request(&self) -> TokenRequest {
        self.state.requests.lock().unwrap().last().unwrap().clone()
    }

    /// Returns the refresh tokens that were sent, in order.
    pub(crate) fn refresh_tokens(&self) -> Vec<String> {
        let requests = self.state.requests.lock().unwrap();
        requests.iter().map(|request| request.value("refresh_token").to_owned()).collect()
    }

    pub(crate) fn endpoint(&self) -> TokenEndpointBuilder {
        TokenEndpoint::discover(&*self.url)
    }

    /// Returns a grant with the refresh token `r1`.
    pub(crate) fn grant(&self) -> RefreshGrant {
        RefreshGrant::new(self.endpoint().client_id("app").build().unwrap(), "r1")
    }
}

impl TokenRequest {
    /// Returns the only value of a parameter.
    #[track_caller]
    pub(crate) fn value(&self, name: &str) -> &str {
        match self.form.get(name).map(Vec::as_slice) {
            Some([value]) => value,
            other => panic!("{name}: {other:?}"),
        }
    }
}

async fn metadata_route(State(state): State<Arc<ServerState>>) -> String {
    *state.metadata_hits.lock().unwrap() += 1;
    state.metadata.lock().unwrap().to_string()
}

async fn token_route(
    State(state): State<Arc<ServerState>>,
    headers: HeaderMap,
    Form(parameters): Form<Vec<(String, String)>>,
) -> Response {
    let authorization = headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    let mut request = TokenRequest { authorization, form: HashMap::new() };
    for (name, value) in parameters {
        request.form.entry(name).or_default().push(value);
    }
    let number = {
        let mut requests = state.requests.lock().unwrap();
        requests.push(request.clone());
        requests.len()
    };
    let mut replies = state.reply.subscribe();
    loop {
        let reply = replies.borrow_and_update().clone();
        match reply {
            Reply::Hang => {
                if replies.changed().await.is_err() {
                    return StatusCode::SERVICE_UNAVAILABLE.into_response();
                }
            }
            Reply::Status(status, body) => {
                return (StatusCode::from_u16(status).unwrap(), body.to_string()).into_response();
            }
            Reply::Redirect(to) => return (StatusCode::FOUND, [("location", to)]).into_response(),
            Reply::Lose { grace } => {
                let next = if grace { Reply::RotateWithGrace } else { Reply::Rotate };
                state.reply.send_replace(next);
                state.tokens(&request, number, &Reply::Rotate);
                let parts = [Ok(Bytes::from_static(b"{")), Err(io::Error::other("lost"))];
                return Body::from_stream(stream::iter(parts)).into_response();
            }
            reply => return state.tokens(&request, number, &reply),
        }
    }
}

impl ServerState {
    fn tokens(&self, request: &TokenRequest, number: usize, reply: &Reply) -> Response {
        let token = self.issuer.jwt(&format!("token-{number}"));
        let mut body = json!({ "access_token": token, "token_type": "bearer", "expires_in": 600 });
        if request.value("grant_type") == "refresh_token" {
            let mut generation = self.generation.lock().unwrap();
            let sent = request.value("refresh_token");
            let is_previous = sent == format!("r{}", *generation - 1);
            if sent == format!("r{generation}") {
                *generation += u32::from(!matches!(reply, Reply::Keep));
            } else if !(is_previous && matches!(reply, Reply::RotateWithGrace)) {
                let error = json!({ "error": "invalid_grant", "error_description": sent });
                return (StatusCode::BAD_REQUEST, error.to_string()).into_response();
            }
            if !matches!(reply, Reply::Keep) {
                body["refresh_token"] = format!("r{generation}").into();
            }
        }
        body.to_string().into_response()
    }
}
