//! An OpenID provider in Node.js, and Python with the clients that log in to it. `tests/e2e/README.md` says how they
//! are installed.

use crate::skip;
use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use axum::http::header::CONTENT_TYPE;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use tower_auth::{
    JwtAuth,
    jwt::{Algorithm, Jwks, JwtAuthBuilder},
};

use crate::ROOT;

/// `provider.mjs`, or another one, for as long as its test runs.
pub struct Provider {
    process: Child,
    pub issuer: String,
    client: Client,
}

impl Provider {
    pub fn start() -> Option<Self> {
        Self::of("provider.mjs")
    }

    /// Starts it, or says that what it takes is not on this machine.
    pub fn of(file: &str) -> Option<Self> {
        let dir = Path::new(ROOT).join("tests/e2e");
        let node = Command::new("node").arg("--version").output();
        if node.is_err() || !dir.join("node_modules").exists() {
            skip("run `npm ci` in tests/e2e first");
            return None;
        }
        let mut process = Command::new("node")
            .arg(dir.join(file))
            .stdin(Stdio::piped()) // it ends when this does
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let issuer = line.trim_end().strip_prefix("listening on ").map(str::to_owned);
        let issuer = issuer.unwrap_or_else(|| panic!("it did not listen: {line:?}"));
        Some(Self { process, issuer, client: client() })
    }

    /// What the service needs that is this resource.
    pub fn tokens(&self, resource: &str) -> JwtAuthBuilder {
        let tokens = JwtAuth::builder(Jwks::discover(&*self.issuer)).audience(resource);
        match resource {
            // The provider's RSA keys name no algorithm. Such a key is for RS256, unless a list says otherwise.
            "urn:ps256" => tokens.algorithms([Algorithm::PS256]),
            _ => tokens,
        }
    }

    pub async fn token(&self, resource: &str) -> String {
        self.grant(&format!("&resource={resource}")).await
    }

    pub async fn opaque_token(&self) -> String {
        self.grant("").await
    }

    async fn grant(&self, more: &str) -> String {
        let request = self
            .post("/token")
            .basic_auth("service", Some("e2e-secret"))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(format!("grant_type=client_credentials&scope=read+write{more}"));
        let answer = json(request).await;
        answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    pub async fn control(&self, what: &str) {
        let answer = self.post(&format!("/ctl/{what}")).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{what}");
    }

    /// How often a document was asked for.
    pub async fn hits(&self, document: &str) -> u64 {
        self.told("hits").await[document].as_u64().unwrap()
    }

    pub async fn told(&self, what: &str) -> Value {
        json(self.client.get(format!("{}/ctl/{what}", self.issuer))).await
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.issuer))
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

pub async fn json(request: RequestBuilder) -> Value {
    let text = request.send().await.unwrap().text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"))
}

/// The header of a token, or its claims.
pub fn part(token: &str, at: usize) -> Value {
    let part = token.split('.').nth(at).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// Whether there is a virtual environment; it says so if there is none.
pub fn has_python() -> bool {
    if !python().exists() {
        skip(
            "run `python3 -m venv target/python && \
             target/python/bin/python -m pip install -r tests/e2e/requirements.txt` first",
        );
    }
    python().exists()
}

/// That of the virtual environment.
pub fn python() -> PathBuf {
    Path::new(ROOT).join("target/python/bin/python")
}
