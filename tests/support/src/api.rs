//! A server in this process, a client for it, and an issuer.

use std::future::IntoFuture as _;

use axum::{
    Router,
    http::{HeaderMap, StatusCode, header::WWW_AUTHENTICATE},
};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::yield_now};
use tower_auth::{
    BasicAuth, JwtAuth, Principal,
    basic::{BasicCredentials, PasswordVerifier, Verdict},
    jwt::{JwtAuthBuilder, Keys},
};

use super::token::{AUDIENCE, ISSUER, Signer, claims};

/// A server on a port of its own, for as long as its test runs, and a client for it.
pub struct Api {
    pub address: String,
    pub client: reqwest::Client,
}

impl Api {
    pub async fn serve(app: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(axum::serve(listener, app).into_future());
        Self { address, client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    pub async fn anonymously(&self, path: &str) -> Reply {
        Reply::to(self.get(path)).await
    }

    pub async fn with(&self, token: &str, path: &str) -> Reply {
        Reply::to(self.get(path).bearer_auth(token)).await
    }

    pub async fn as_staff(&self, password: &str, path: &str) -> Reply {
        Reply::to(self.get(path).basic_auth("alice", Some(password))).await
    }
}

#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Reply {
    pub async fn to(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, body: response.text().await.unwrap() }
    }

    /// The lines of `WWW-Authenticate`.
    pub fn challenges(&self) -> Vec<&str> {
        self.headers.get_all(WWW_AUTHENTICATE).iter().map(|line| line.to_str().unwrap()).collect()
    }
}

/// Signs tokens, and says who checks them.
pub struct Issuer(pub Signer);

impl Issuer {
    #[allow(clippy::new_without_default)] // generates a key
    pub fn new() -> Self {
        Self(Signer::generate("ES256", "1"))
    }

    pub fn builder(&self) -> JwtAuthBuilder {
        let keys = Keys::from_json(json!({ "keys": [self.0.jwk()] }).to_string()).unwrap();
        JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE).realm("api")
    }

    pub fn auth(&self) -> JwtAuth {
        self.builder().build().unwrap()
    }

    /// A token of `user-1` with the scopes `read` and `write`.
    pub fn token(&self) -> String {
        self.0.token(&claims())
    }

    /// The same with more claims, or with others.
    pub fn token_with(&self, more: Value) -> String {
        let mut claims = claims();
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.0.token(&claims)
    }

    pub fn expired_token(&self) -> String {
        let mut claims = claims();
        claims["exp"] = 1.into();
        self.0.token(&claims)
    }
}

/// Knows `alice` by the password `secret`, and has to wait before it says so.
pub fn staff() -> BasicAuth<impl PasswordVerifier> {
    let verifier = |sent: BasicCredentials| async move {
        yield_now().await;
        match (sent.user_id(), sent.password()) {
            ("alice", "secret") => Verdict::Verified(sent.to_principal().build()),
            _ => Verdict::Invalid,
        }
    };
    BasicAuth::new("staff", verifier).unwrap()
}

pub async fn greet(caller: Principal) -> String {
    format!("hello {}", caller.subject())
}
