//! The running example, and a client for its interface.

use serde_json::{Value, json};
use tempfile::TempDir;
use tower_auth_test_support::{
    program::Program,
    raw::{RawResponse, get, send},
};

pub const BINARY: &str = env!("CARGO_BIN_EXE_login");
const JSON: (&str, &str) = ("content-type", "application/json");

/// A running instance. It ends when it is dropped.
pub struct Service {
    pub address: String,
    pub program: Program,
}

/// The tokens of a login or a refresh.
pub struct Tokens {
    pub access: String,
    pub refresh: String,
}

/// Returns a folder for the accounts of a test, and the path of their file.
pub fn accounts() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("accounts.db").to_str().unwrap().to_owned();
    (folder, file)
}

impl Service {
    pub fn start(accounts: &str, options: &[&str]) -> Self {
        Self::program(accounts, options).into()
    }

    /// Starts an instance whose output was not read yet.
    pub fn program(accounts: &str, options: &[&str]) -> Program {
        let arguments = [&["--listen", "127.0.0.1:0", "--accounts", accounts], options].concat();
        Program::start(BINARY, &arguments)
    }

    /// Sends a request with a body in JSON.
    pub fn post(&self, path: &str, body: Value) -> RawResponse {
        send(&self.address, "POST", path, &[JSON], &body.to_string())
    }

    /// Sends a request with an access token.
    pub fn post_with_token(&self, path: &str, access_token: &str) -> RawResponse {
        let authorization = format!("Bearer {access_token}");
        send(&self.address, "POST", path, &[("authorization", &authorization)], "")
    }

    pub fn try_to_log_in(&self, username: &str, password: &str) -> RawResponse {
        self.post("/login", json!({ "username": username, "password": password }))
    }

    /// Logs alice in.
    pub fn log_in(&self) -> Tokens {
        tokens(&self.try_to_log_in("alice", "correct horse"))
    }

    pub fn try_to_refresh(&self, refresh_token: &str) -> RawResponse {
        self.post("/token/refresh", json!({ "refresh_token": refresh_token }))
    }

    pub fn refresh(&self, refresh_token: &str) -> Tokens {
        tokens(&self.try_to_refresh(refresh_token))
    }

    pub fn assert_refresh_is_rejected(&self, refresh_token: &str) {
        let response = self.try_to_refresh(refresh_token);
        assert_eq!((response.status, response.json()), (400, json!({ "error": "invalid_grant" })));
    }

    pub fn log_out(&self, refresh_token: &str) {
        let response = self.post("/logout", json!({ "refresh_token": refresh_token }));
        assert_eq!(response.status, 204, "{response:?}");
    }

    pub fn me(&self, access_token: &str) -> RawResponse {
        get(&self.address, "/me", &[("authorization", &format!("Bearer {access_token}"))])
    }
}

impl From<Program> for Service {
    fn from(mut program: Program) -> Self {
        Self { address: program.address(), program }
    }
}

/// Returns the tokens of a response, which must have all members of the interface.
pub fn tokens(response: &RawResponse) -> Tokens {
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header("cache-control"), "no-store");
    let body = response.json();
    assert_eq!(body["token_type"], "Bearer");
    assert!(body["expires_in"].as_u64().is_some_and(|seconds| seconds > 0), "{body}");
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    Tokens { access: text("access_token"), refresh: text("refresh_token") }
}
