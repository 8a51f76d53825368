//! An OpenID provider in Node.js, and the Python environment of its clients. `tests/e2e/README.md`
//! explains how to install them.

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

use crate::{ROOT, has_node, skip};

/// A running provider script. Dropping it kills the process.
pub struct Provider {
    process: Child,
    pub issuer: String,
    client: Client,
}

impl Provider {
    /// Starts `provider.mjs`, or skips the test if Node.js or its packages are not installed.
    pub fn start() -> Option<Self> {
        Self::start_script("provider.mjs")
    }

    /// Starts a script of `tests/e2e`, or skips the test if Node.js or its packages are missing.
    pub fn start_script(file: &str) -> Option<Self> {
        let dir = Path::new(ROOT).join("tests/e2e");
        if !has_node("oidc-provider") {
            return None;
        }
        let mut process = Command::new("node")
            .arg(dir.join(file))
            .stdin(Stdio::piped()) // the script exits when its standard input closes
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let issuer = line.trim_end().strip_prefix("listening on ").map(str::to_owned);
        let issuer = issuer.unwrap_or_else(|| panic!("no address: {line:?}"));
        Some(Self { process, issuer, client: client() })
    }

    /// Returns the configuration of a service that is this resource.
    pub fn tokens(&self, resource: &str) -> JwtAuthBuilder {
        let tokens = JwtAuth::builder(Jwks::discover(&*self.issuer)).audience(resource);
        match resource {
            // The provider's RSA keys have no `alg`. By default, such a key verifies RS256 only.
            "urn:ps256" => tokens.algorithms([Algorithm::PS256]),
            _ => tokens,
        }
    }

    /// Fetches an access token for this resource.
    pub async fn token(&self, resource: &str) -> String {
        self.grant(&format!("&resource={resource}")).await
    }

    /// Fetches an access token that is not a JWT.
    pub async fn opaque_token(&self) -> String {
        self.grant("").await
    }

    /// Fetches the response with an access token that is bound to a key, for the client
    /// `dpop-service` or `mtls-service`. The header has the proof or the certificate.
    pub async fn bound_token(&self, client: &str, header: (&str, &str), resource: &str) -> Value {
        let request = self.grant_request(client, &format!("&resource={resource}"));
        json(request.header(header.0, header.1)).await
    }

    async fn grant(&self, params: &str) -> String {
        let response = json(self.grant_request("service", params)).await;
        response["access_token"].as_str().unwrap_or_else(|| panic!("{response}")).to_owned()
    }

    fn grant_request(&self, client: &str, params: &str) -> RequestBuilder {
        self.post("/token")
            .basic_auth(client, Some("e2e-secret"))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(format!("grant_type=client_credentials&scope=read+write{params}"))
    }

    /// Sends a command to the script.
    pub async fn post_control(&self, command: &str) {
        let response = self.post(&format!("/ctl/{command}")).send().await.unwrap();
        assert_eq!(response.status(), 200, "{command}");
    }

    /// Returns how often a document was requested.
    pub async fn hits(&self, document: &str) -> u64 {
        self.get_control("hits").await[document].as_u64().unwrap()
    }

    /// Fetches a record that the script keeps.
    pub async fn get_control(&self, record: &str) -> Value {
        json(self.client.get(format!("{}/ctl/{record}", self.issuer))).await
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

/// Sends the request and parses the response as JSON.
pub async fn json(request: RequestBuilder) -> Value {
    let text = request.send().await.unwrap().text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"))
}

/// Decodes one part of a token: 0 is its header, 1 its claims.
pub fn token_part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// Returns whether the Python environment exists, and reports a skipped test if it does not.
pub fn has_python() -> bool {
    if !python().exists() {
        skip(
            "run `python3 -m venv target/python && \
             target/python/bin/python -m pip install -r tests/e2e/requirements.txt` first",
        );
    }
    python().exists()
}

/// Returns the path of the interpreter in the Python environment.
pub fn python() -> PathBuf {
    Path::new(ROOT).join("target/python/bin/python")
}
