//! The claims of access tokens (RFC 9068 §2.2).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use super::{
    error::{IssueError, RefreshError, Unavailable, unavailable_from},
    exchange_error::ExchangeError,
    keys::{keys_error::KeysError, snapshot::Snapshot},
    opaque_tokens::OpaqueTokens,
    token_issuer::State,
};
use crate::{
    binding::cnf::Cnf,
    jwt::builder::JwtAuthBuilder,
    random::random_bytes,
    store::{error::StoreError, ttl::Ttl},
};

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
    /// The key to which the token is bound (`cnf`).
    pub(super) confirmation: Option<Cnf>,
    pub(super) form: TokenForm,
    /// The claims about how the user logged in, and which services act for the user.
    pub(super) details: Map<String, Value>,
    /// The claims of the service.
    pub(super) custom: Map<String, Value>,
}

/// The form of access tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenForm {
    Jwt,
    /// A random text, whose claims are in the store.
    Opaque,
}

/// An access token and what its response says about it.
#[derive(Clone)]
pub(super) struct AccessToken {
    pub(super) text: String,
    pub(super) token_type: &'static str,
    pub(super) expires_in: Duration,
    pub(super) scope: String,
}

/// Why an access token was not issued.
pub(super) enum NotIssued {
    /// It would have expired.
    Expired,
    /// The text says what to change in the program.
    Invalid(&'static str),
    Unavailable(Unavailable),
}

impl State {
    /// Issues an access token.
    pub(super) async fn issue_access_token(
        &self,
        keys: &Snapshot,
        content: AccessContent<'_>,
    ) -> Result<AccessToken, NotIssued> {
        let now = seconds(self.clock.now());
        let expires_at = (now + self.lifetimes.access.as_secs()).min(content.ends_at);
        let expires_in = expires_at.checked_sub(now).filter(|left| *left > 0);
        let expires_in = Duration::from_secs(expires_in.ok_or(NotIssued::Expired)?);
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
        let token_type = token_type(content.confirmation.as_ref());
        if let Some(cnf) = &content.confirmation {
            set("cnf", members_of(cnf)?);
        }
        let claims = Value::Object(claims).to_string();
        let text = match content.form {
            TokenForm::Jwt => signed(keys, &claims)?,
            TokenForm::Opaque => self.stored(&claims, expires_in).await?,
        };
        Ok(AccessToken { text, token_type, expires_in, scope })
    }

    /// Keeps the claims of a new token that is not a JWT.
    async fn stored(&self, claims: &str, expires_in: Duration) -> Result<String, NotIssued> {
        if claims.len() > OpaqueTokens::MAX_CLAIMS_BYTES {
            return Err(NotIssued::Invalid(
                "the claims of the access token are longer than 12 KiB: add fewer or shorter ones",
            ));
        }
        let token = self.opaque_tokens.create();
        match self.opaque_tokens.keep(&token, claims.as_bytes(), Ttl::new(expires_in)).await? {
            true => Ok(token.text),
            false => Err(NotIssued::Unavailable(Unavailable::new("two tokens are the same"))),
        }
    }
}

/// Returns a JWT that a `JwtAuth` does not reject because of its length.
fn signed(keys: &Snapshot, claims: &str) -> Result<String, NotIssued> {
    let token = keys.sign(claims.as_bytes())?;
    match token.len() > JwtAuthBuilder::MAX_TOKEN_BYTES {
        true => Err(NotIssued::Invalid(
            "the access token is longer than 16 KiB: add fewer or shorter claims",
        )),
        false => Ok(token),
    }
}

fn members_of(cnf: &Cnf) -> Result<Value, NotIssued> {
    let members = cnf.members::<Map<String, Value>>().ok().filter(|members| !members.is_empty());
    let missing = "the confirmation names no key: pass a Cnf with jkt or x5t#S256";
    members.map(Value::Object).ok_or(NotIssued::Invalid(missing))
}

/// Returns the scheme with which a token is sent (RFC 6749 §7.1, RFC 9449 §5).
pub(super) fn token_type(confirmation: Option<&Cnf>) -> &'static str {
    match confirmation.is_some_and(|cnf| cnf.has_member("jkt")) {
        true => "DPoP",
        false => "Bearer",
    }
}

unavailable_from!(NotIssued: KeysError, StoreError);

impl From<NotIssued> for IssueError {
    fn from(error: NotIssued) -> Self {
        match error {
            NotIssued::Expired => {
                Self::Unavailable(Unavailable::new("the token would have expired"))
            }
            NotIssued::Invalid(reason) => Self::Invalid(reason),
            NotIssued::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

/// The refresh token stays valid if the program has a fault.
impl From<NotIssued> for RefreshError {
    fn from(error: NotIssued) -> Self {
        match error {
            NotIssued::Expired => Self::Expired,
            NotIssued::Invalid(reason) => Self::Unavailable(Unavailable::new(reason)),
            NotIssued::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

impl From<NotIssued> for ExchangeError {
    fn from(error: NotIssued) -> Self {
        match error {
            NotIssued::Expired => Self::Expired,
            NotIssued::Invalid(reason) => Self::Invalid(reason),
            NotIssued::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

impl AccessToken {
    /// Returns the response of a token endpoint (RFC 6749 §5.1), without a refresh token.
    pub(super) fn to_json(&self) -> Value {
        let mut json = json!({
            "access_token": self.text,
            "token_type": self.token_type,
            "expires_in": self.expires_in.as_secs(),
        });
        if let (Some(members), false) = (json.as_object_mut(), self.scope.is_empty()) {
            members.insert("scope".into(), self.scope.as_str().into());
        }
        json
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
