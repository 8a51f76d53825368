//! The exchange of tokens between services, and the tokens of clients.

mod chains;
mod clients;
mod lifetime;
mod remaining_access;
mod rules;

use std::time::{Duration, SystemTime};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tower_auth::{
    Principal, Scheme, Scopes,
    issue::{ExchangeError, ServiceToken, TokenIssuer, TokenPair},
};

use super::fixture::{self, Fixture, ISSUER, log_in_as, ready};
use crate::revocation::tokens::{caller, with};

const OTHER: &str = "https://other.example";
const START: u64 = 1_700_000_000;

/// Returns an issuer with the audiences `orders`, `invoices` and `payments`, whose clients are
/// services with these names. It exchanges the tokens of [`OTHER`].
fn issuer(fixture: &Fixture) -> TokenIssuer {
    let builder = fixture.builder().service_audiences(["invoices", "payments"]);
    builder.exchange_tokens_of(OTHER).build().unwrap()
}

/// Logs `alice` in, with the scopes `read` and `write`.
fn alice(issuer: &TokenIssuer) -> Principal {
    user_of(&log_in_as(issuer, "alice"))
}

fn user_of(tokens: &TokenPair) -> Principal {
    verified(&fixture::claims(tokens))
}

/// Returns the principal of a verified token.
fn verified(claims: &Value) -> Principal {
    let scopes = Scopes::from_delimited(claims["scope"].as_str().unwrap_or_default());
    let end = Duration::from_secs(claims["exp"].as_u64().unwrap_or_default());
    caller(claims)
        .to_builder()
        .issuer(claims["iss"].as_str().unwrap_or_default())
        .scopes(&scopes)
        .expires_at(SystemTime::UNIX_EPOCH + end)
        .build()
}

/// Returns the claims of a token of [`OTHER`].
fn foreign() -> Value {
    json!({
        "iss": OTHER, "sub": "alice", "jti": "1", "iat": START - 100, "exp": START + 300,
        "scope": "read write", "sid": "theirs", "auth_time": START - 1_000, "acr": "2",
        "amr": ["hwk"],
    })
}

fn claims_of(token: &ServiceToken) -> Value {
    let payload = token.access_token().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn client(id: &str) -> Principal {
    Principal::builder(id, Scheme::BASIC).scopes(["read", "write"]).build()
}

/// Exchanges a token for one for `invoices` with the scope `read`.
fn exchange(issuer: &TokenIssuer, caller: &Principal) -> Result<ServiceToken, ExchangeError> {
    exchange_for(issuer, caller, "invoices", &["read"])
}

fn exchange_for(
    issuer: &TokenIssuer,
    caller: &Principal,
    audience: &str,
    scopes: &[&str],
) -> Result<ServiceToken, ExchangeError> {
    ready(issuer.exchange(caller, audience, scopes).into_future())
}

fn is_admitted(issuer: &TokenIssuer, token: &ServiceToken) -> bool {
    ready(issuer.revocations().check(&verified(&claims_of(token)))).is_ok()
}

/// Returns the name of an error.
fn outcome<T>(result: &Result<T, ExchangeError>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => {
            let name = format!("{error:?}");
            name.split('(').next().unwrap().to_owned()
        }
    }
}
