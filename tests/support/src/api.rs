//! A server in the test process, a client for it, and a test token issuer.

use std::{future::IntoFuture as _, net::SocketAddr};

use axum::{
    Router,
    http::{HeaderMap, StatusCode, header::WWW_AUTHENTICATE},
};
use reqwest::{Method, RequestBuilder, redirect::Policy};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::yield_now};
use tower_auth::{
    BasicAuth, JwtAuth, Principal,
    basic::{BasicCredentials, PasswordVerifier, Verdict},
    jwt::{JwtAuthBuilder, Keys},
};

use super::token::{AUDIENCE, ISSUER, Signer, claims};

/// A server on a free loopback port and a client for it. It runs until the test's runtime ends.
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

    /// Serves an app that reads the addresses of its clients. The client follows no redirects.
    pub async fn serve_with_addresses(app: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(axum::serve(listener, app).into_future());
        let client = reqwest::Client::builder().no_proxy().redirect(Policy::none());
        Self { address, client: client.build().unwrap() }
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    /// Sends a GET request without credentials.
    pub async fn get_anonymous(&self, path: &str) -> Reply {
        Reply::to(self.get(path)).await
    }

    /// Sends a GET request with this bearer token.
    pub async fn get_with_token(&self, token: &str, path: &str) -> Reply {
        Reply::to(self.get(path).bearer_auth(token)).await
    }

    /// Sends a GET request as `alice`, with this Basic password.
    pub async fn get_as_staff(&self, password: &str, path: &str) -> Reply {
        Reply::to(self.get(path).basic_auth("alice", Some(password))).await
    }
}

/// A response whose body was read to its end.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Reply {
    /// Sends the request and reads the response.
    pub async fn to(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, body: response.text().await.unwrap() }
    }

    /// Returns the values of the `WWW-Authenticate` fields.
    pub fn challenges(&self) -> Vec<&str> {
        self.headers.get_all(WWW_AUTHENTICATE).iter().map(|value| value.to_str().unwrap()).collect()
    }
}

/// A token issuer with one ES256 key, and the authenticators that trust it.
pub struct Issuer(pub Signer);

impl Issuer {
    #[allow(clippy::new_without_default)] // generates a key
    pub fn new() -> Self {
        Self(Signer::generate("ES256", "1"))
    }

    /// Returns a builder with the key, issuer and audience of this issuer, and the realm `api`.
    pub fn builder(&self) -> JwtAuthBuilder {
        let keys = Keys::from_json(json!({ "keys": [self.0.jwk()] }).to_string()).unwrap();
        JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE).realm("api")
    }

    pub fn auth(&self) -> JwtAuth {
        self.builder().build().unwrap()
    }

    /// Returns a token for `user-1` with the scopes `read` and `write`.
    pub fn token(&self) -> String {
        self.0.token(&claims())
    }

    /// Like [`token`](Self::token), but adds these claims or replaces existing ones.
    pub fn token_with(&self, changes: Value) -> String {
        let mut claims = claims();
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        self.0.token(&claims)
    }

    pub fn expired_token(&self) -> String {
        let mut claims = claims();
        claims["exp"] = 1.into();
        self.0.token(&claims)
    }
}

/// Returns Basic authentication that accepts `alice` with the password `secret`. Its verifier is
/// pending once before it returns.
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

/// A handler that returns `hello` and the subject of the caller.
pub async fn greet(caller: Principal) -> String {
    format!("hello {}", caller.subject())
}
