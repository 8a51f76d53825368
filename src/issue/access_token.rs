//! The claims of access tokens (RFC 9068 §2.2).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::{error::RefreshError, family::Family, keys::snapshot::Snapshot, token_issuer::State};
use crate::random::random_bytes;

/// An access token and what its response says about it.
pub(super) struct AccessToken {
    pub(super) text: String,
    pub(super) expires_in: Duration,
    pub(super) scope: String,
}

impl State {
    /// Issues an access token for a family.
    pub(super) fn issue_access_token(
        &self,
        keys: &Snapshot,
        family: &Family,
        sid: &str,
        custom: Map<String, Value>,
        scopes: &[String],
    ) -> Result<AccessToken, RefreshError> {
        let now = seconds(self.clock.now());
        let expires_at = (now + self.lifetimes.access.as_secs()).min(family.absolute_end / 1_000);
        let expires_in = expires_at.checked_sub(now).filter(|left| *left > 0);
        let expires_in = Duration::from_secs(expires_in.ok_or(RefreshError::Expired)?);
        let scope = scopes.join(" ");
        let audience = match &*family.audience {
            [one] => Value::from(one.as_str()),
            several => several.into(),
        };
        let mut claims = custom;
        let mut set = |name: &str, value: Value| _ = claims.insert(name.to_owned(), value);
        set("iss", (*self.issuer).into());
        set("sub", family.subject.as_str().into());
        set("aud", audience);
        set("exp", expires_at.into());
        // Not before the second of `fst`, if this clock is behind that of the store: `parse_start`
        // accepts an `fst` that is up to a second later than `iat`.
        set("iat", now.max(family.started_at / 1_000).into());
        set("jti", URL_SAFE_NO_PAD.encode(random_bytes::<16>()).into());
        set("sid", sid.into());
        set("fst", start_claim(family.started_at));
        set("client_id", family.client_id.as_str().into());
        set("auth_time", family.auth_time.into());
        if !scope.is_empty() {
            set("scope", scope.as_str().into());
        }
        if let Some(acr) = &family.acr {
            set("acr", acr.as_str().into());
        }
        if !family.amr.is_empty() {
            set("amr", family.amr.as_slice().into());
        }
        let text = keys.sign(Value::Object(claims).to_string().as_bytes())?;
        Ok(AccessToken { text, expires_in, scope })
    }
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
