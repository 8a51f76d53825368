//! The layers in axum 0.8, served over loopback to real clients.

#[path = "../common/mod.rs"]
mod common;

mod connections;
mod extractors;
mod neighbours;
mod policies;
mod routers;
mod schemes;

use std::future::IntoFuture as _;

use axum::{
    Router,
    http::{HeaderMap, StatusCode, header::WWW_AUTHENTICATE},
};
use reqwest::RequestBuilder;
use serde_json::json;
use tokio::{net::TcpListener, task::yield_now};
use tower_auth::{
    BasicAuth, JwtAuth, Principal,
    basic::{BasicCredentials, PasswordVerifier, Verdict},
    jwt::Keys,
};

use crate::common::token::{AUDIENCE, ISSUER, Signer, claims};

/// A server on a port of its own, for as long as its test runs, and a client for it.
struct Api {
    address: String,
    client: reqwest::Client,
}

impl Api {
    async fn serve(app: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(axum::serve(listener, app).into_future());
        Self { address, client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("http://{}{path}", self.address))
    }

    async fn anonymously(&self, path: &str) -> Reply {
        Reply::to(self.get(path)).await
    }

    async fn with(&self, token: &str, path: &str) -> Reply {
        Reply::to(self.get(path).bearer_auth(token)).await
    }

    async fn as_staff(&self, password: &str, path: &str) -> Reply {
        Reply::to(self.get(path).basic_auth("alice", Some(password))).await
    }
}

#[derive(Debug)]
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Reply {
    async fn to(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, body: response.text().await.unwrap() }
    }

    /// The lines of `WWW-Authenticate`.
    fn challenges(&self) -> Vec<&str> {
        self.headers.get_all(WWW_AUTHENTICATE).iter().map(|line| line.to_str().unwrap()).collect()
    }
}

/// Signs tokens, and says who checks them.
struct Issuer(Signer);

impl Issuer {
    fn new() -> Self {
        Self(Signer::generate("ES256", "1"))
    }

    fn auth(&self) -> JwtAuth {
        let keys = Keys::from_json(json!({ "keys": [self.0.jwk()] }).to_string()).unwrap();
        let builder = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE);
        builder.realm("api").build().unwrap()
    }

    /// A token of `user-1` with the scopes `read` and `write`.
    fn token(&self) -> String {
        self.0.token(&claims())
    }

    fn expired_token(&self) -> String {
        let mut claims = claims();
        claims["exp"] = 1.into();
        self.0.token(&claims)
    }
}

/// Knows `alice` by the password `secret`, and has to wait before it says so.
fn staff() -> BasicAuth<impl PasswordVerifier> {
    let verifier = |sent: BasicCredentials| async move {
        yield_now().await;
        match (sent.user_id(), sent.password()) {
            ("alice", "secret") => Verdict::Right(sent.to_principal().build()),
            _ => Verdict::Wrong,
        }
    };
    BasicAuth::new("staff", verifier).unwrap()
}

async fn greet(caller: Principal) -> String {
    format!("hello {}", caller.subject())
}
