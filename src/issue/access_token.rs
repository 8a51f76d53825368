//! The claims of access tokens (RFC 9068 §2.2).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use super::{keys::keys_error::KeysError, keys::snapshot::Snapshot, token_issuer::State};
use crate::{jwt::builder::JwtAuthBuilder, random::random_bytes};

/// What an access token says.
pub(super) struct AccessContent<'a> {
    pub(super) subject: &'a str,
    pub(super) client_id: &'a str,
    pub(super) audience: &'a [String],
    /// The `fst`, in milliseconds since 1970.
    pub(super) started_at: u64,
    /// The latest `exp`, in seconds since 1970.
    pub(super) ends_at: u64,
    pub(super) scopes: &'a [String],
    /// The claims about how the user logged in, and which services act for the user.
    pub(super) details: Map<String, Value>,
    /// The claims of the service.
    pub(super) custom: Map<String, Value>,
}

/// An access token and what its response says about it.
pub(super) struct AccessToken {
    pub(super) text: String,
    pub(super) expires_in: Duration,
    pub(super) scope: String,
}

impl State {
    /// Issues an access token. Returns `None` if it would have expired.
    pub(super) fn issue_access_token(
        &self,
        keys: &Snapshot,
        content: AccessContent<'_>,
    ) -> Result<Option<AccessToken>, KeysError> {
        let now = seconds(self.clock.now());
        let expires_at = (now + self.lifetimes.access.as_secs()).min(content.ends_at);
        let Some(expires_in) = expires_at.checked_sub(now).filter(|left| *left > 0) else {
            return Ok(None);
        };
        let scope = content.scopes.join(" ");
        let audience = match content.audience {
            [one] => Value::from(one.as_str()),
            several => several.into(),
        };
        let mut claims = content.custom;
        claims.extend(content.details);
        let mut set = |name: &str, value: Value| _ = claims.insert(name.to_owned(), value);
        set("iss", (*self.issuer).into());
        set("sub", content.subject.into());
        set("aud", audience);
        set("exp", expires_at.into());
        // Not before the second of `fst`, if this clock is behind that of the store: `parse_start`
        // accepts an `fst` that is up to a second later than `iat`.
        set("iat", now.max(content.started_at / 1_000).into());
        set("jti", URL_SAFE_NO_PAD.encode(random_bytes::<16>()).into());
        set("fst", start_claim(content.started_at));
        set("client_id", content.client_id.into());
        if !scope.is_empty() {
            set("scope", scope.as_str().into());
        }
        let text = keys.sign(Value::Object(claims).to_string().as_bytes())?;
        Ok(Some(AccessToken { text, expires_in: Duration::from_secs(expires_in), scope }))
    }
}

/// Checks that a `JwtAuth` does not reject an access token because of its length.
pub(super) fn check_length(token: &str) -> Result<(), &'static str> {
    match token.len() > JwtAuthBuilder::MAX_TOKEN_BYTES {
        true => Err("the access token is longer than 16 KiB: add fewer or shorter claims"),
        false => Ok(()),
    }
}

/// Returns the response of a token endpoint (RFC 6749 §5.1), without a refresh token.
pub(super) fn token_response(access_token: &str, expires_in: Duration, scope: &str) -> Value {
    let mut json = json!({
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": expires_in.as_secs(),
    });
    if let (Some(members), false) = (json.as_object_mut(), scope.is_empty()) {
        members.insert("scope".into(), scope.into());
    }
    json
}

/// Returns the whole seconds since 1970.
pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Returns the milliseconds since 1970.
pub(super) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the `fst`: a number of seconds with milliseconds.
///
/// With whole seconds, a login in the second of a revocation would have to start in the next one,
/// and another revocation in the same second would not affect it.
#[allow(clippy::cast_precision_loss)] // exact, because the number is below 2^53
fn start_claim(started_at: u64) -> Value {
    (started_at as f64 / 1_000.0).into()
}
