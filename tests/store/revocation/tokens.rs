use std::{
    error::Error,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use tower_auth::{
    JwtAuth, Principal, Rejection, RejectionKind, Scheme, clock::Clock, jwt::TokenError,
    test_util::TestClock,
};

pub const ISSUER: &str = "https://issuer.example";

/// Returns the principal of a verified token, without a signature.
pub fn caller(claims: &Value) -> Principal {
    let subject = claims["sub"].as_str().unwrap_or("alice").to_owned();
    Principal::builder(subject, Scheme::BEARER).claims(claims).unwrap().build()
}

/// Returns the claims of a token that is issued now.
pub fn claims(clock: &TestClock, jti: &str) -> Value {
    let now = seconds(clock.now());
    json!({ "iss": ISSUER, "sub": "alice", "sid": "s", "jti": jti, "iat": now, "exp": now + 600 })
}

pub fn with(mut claims: Value, name: &str, value: impl Into<Value>) -> Value {
    claims[name] = value.into();
    claims
}

pub fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

pub fn clock() -> TestClock {
    TestClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000))
}

pub fn is_revoked<T>(result: &Result<T, Rejection>) -> bool {
    matches!(result, Err(rejection) if reason(rejection) == Some(TokenError::Revoked))
}

pub fn is_unavailable<T>(result: &Result<T, Rejection>) -> bool {
    matches!(result, Err(rejection) if rejection.kind() == RejectionKind::Unavailable)
}

pub fn reason(rejection: &Rejection) -> Option<TokenError> {
    rejection.source().and_then(|source| source.downcast_ref()).cloned()
}

pub async fn accepts(tokens: &JwtAuth, token: &str) -> bool {
    match tokens.verify(token).await {
        Ok(_) => true,
        Err(rejection) => {
            assert_eq!(reason(&rejection), Some(TokenError::Revoked), "{rejection}");
            false
        }
    }
}
