use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{key, mint::TokenMint};
use crate::one_or_many::OneOrMany;

/// A builder for test tokens, created by [`TokenMint::token`].
///
/// By default, the token is an access token (RFC 9068) with type `at+jwt`, `iss`, `sub`, `jti` and
/// `client_id`. It is issued now and expires after five minutes. It has no `aud` and no `scope`.
///
/// ```
/// # use tower_auth::test_util::TokenMint;
/// use serde_json::json;
///
/// let mint = TokenMint::new("https://issuer.example");
/// let token = mint
///     .token("alice")
///     .audience("orders")
///     .scopes(["orders:read", "orders:write"])
///     .claim("realm_access", json!({ "roles": ["admin"] }))
///     .sign();
/// # let _ = token;
/// ```
///
/// To build tokens that must be rejected, use [`expired`](Self::expired),
/// [`without`](Self::without), [`header`](Self::header) and
/// [`signed_by_unknown_key`](Self::signed_by_unknown_key).
#[derive(Clone)]
#[must_use = "call `sign` to get the token"]
pub struct TestToken {
    mint: TokenMint,
    subject: String,
    audience: Vec<String>,
    scopes: Option<String>,
    issued_at: Option<SystemTime>,
    expires_in: Duration,
    expired: bool,
    wrong_key: bool,
    header: Overrides,
    claims: Overrides,
}

/// Changes of single members, applied in order. `None` removes the member.
type Overrides = Vec<(String, Option<Value>)>;

impl TokenMint {
    /// Starts a token for this subject. Call [`sign`](TestToken::sign) to get the token.
    pub fn token(&self, subject: impl Into<String>) -> TestToken {
        TestToken::new(self.clone(), subject.into())
    }
}

impl TestToken {
    pub(crate) fn new(mint: TokenMint, subject: String) -> Self {
        Self {
            mint,
            subject,
            audience: Vec::new(),
            scopes: None,
            issued_at: None,
            expires_in: Duration::from_secs(300),
            expired: false,
            wrong_key: false,
            header: Vec::new(),
            claims: Vec::new(),
        }
    }

    /// Adds audiences (`aud`). With several audiences, `aud` is an array.
    pub fn audience<K>(mut self, audiences: impl OneOrMany<str, K>) -> Self {
        self.audience.extend(audiences.values().map(|name| String::from(name.as_ref())));
        self
    }

    /// Sets the granted scopes (`scope`). Replaces scopes that were set before.
    pub fn scopes<K>(mut self, scopes: impl OneOrMany<str, K>) -> Self {
        let scopes: Vec<String> = scopes.values().map(|scope| scope.as_ref().into()).collect();
        self.scopes = Some(scopes.join(" "));
        self
    }

    /// Sets any claim. Overrides default claims and those of other methods.
    ///
    /// # Panics
    ///
    /// Panics if the value cannot be serialized to JSON.
    #[track_caller]
    pub fn claim(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        self.claims.push((name.into(), Some(to_json(value))));
        self
    }

    /// Removes a claim.
    pub fn without(mut self, name: impl Into<String>) -> Self {
        self.claims.push((name.into(), None));
        self
    }

    /// Sets the time of issue (`iat`). [`expires_in`](Self::expires_in) is relative to it.
    pub fn issued_at(mut self, time: SystemTime) -> Self {
        self.issued_at = Some(time);
        self
    }

    /// Sets the lifetime, which ends at `exp`. The default is five minutes.
    pub fn expires_in(mut self, time: Duration) -> Self {
        self.expires_in = time;
        self
    }

    /// Makes the token expire one hour ago, which is longer than any leeway.
    pub fn expired(mut self) -> Self {
        self.expired = true;
        self
    }

    /// Sets the time from which the token is valid (`nbf`).
    pub fn not_before(self, time: SystemTime) -> Self {
        self.claim("nbf", numeric_date(time))
    }

    /// Sets the authentication context class (`acr`, OpenID Connect Core 1.0 §2, RFC 9470).
    pub fn acr(self, acr: impl Into<String>) -> Self {
        self.claim("acr", acr.into())
    }

    /// Sets the time of the user's login (`auth_time`, OpenID Connect Core 1.0 §2, RFC 9470).
    pub fn auth_time(self, time: SystemTime) -> Self {
        self.claim("auth_time", numeric_date(time))
    }

    /// Sets the type of the token (`typ`). The default is `at+jwt`.
    pub fn typ(self, typ: impl Into<String>) -> Self {
        self.header("typ", typ.into())
    }

    /// Sets any member of the header, for example an unknown `kid`. Overrides default members.
    ///
    /// The token is still signed with the key of the token issuer.
    ///
    /// # Panics
    ///
    /// Panics if the value cannot be serialized to JSON.
    #[track_caller]
    pub fn header(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        self.header.push((name.into(), Some(to_json(value))));
        self
    }

    /// Signs with another key that has the same `kid`, so that the signature is invalid.
    pub fn signed_by_unknown_key(mut self) -> Self {
        self.wrong_key = true;
        self
    }

    /// Returns the signed token, for `Authorization: Bearer`. Each token has a unique `jti`.
    #[must_use]
    pub fn sign(&self) -> String {
        let key = if self.wrong_key { self.mint.wrong_key() } else { self.mint.signing_key() };
        let header = json!({ "alg": key.algorithm, "kid": key.id, "typ": "at+jwt" });
        key.sign(&apply(&self.header, header), &apply(&self.claims, self.default_claims()))
    }

    fn default_claims(&self) -> Value {
        const HOUR: Duration = Duration::from_secs(3600);

        // Not `SystemTime`, which would overflow with an extreme clock or lifetime.
        let now = unix_time(self.mint.now());
        let given = self.issued_at.map(unix_time);
        let (issued_at, expires_at) = if self.expired {
            let end = now.saturating_sub(HOUR);
            (given.unwrap_or(end.saturating_sub(self.expires_in)), end)
        } else {
            let start = given.unwrap_or(now);
            (start, start.saturating_add(self.expires_in))
        };
        let mut claims = Map::from_iter([
            ("iss".to_owned(), self.mint.issuer().into()),
            ("sub".to_owned(), self.subject.as_str().into()),
            ("iat".to_owned(), issued_at.as_secs().into()),
            ("exp".to_owned(), expires_at.as_secs().into()),
            ("jti".to_owned(), key::encode(key::random(16)).into()),
            ("client_id".to_owned(), "test-client".into()),
        ]);
        match self.audience.as_slice() {
            [] => None,
            [one] => claims.insert("aud".to_owned(), one.as_str().into()),
            several => claims.insert("aud".to_owned(), several.into()),
        };
        if let Some(scopes) = &self.scopes {
            claims.insert("scope".to_owned(), scopes.as_str().into());
        }
        claims.into()
    }
}

/// Hides the claims, which can be personal data.
impl fmt::Debug for TestToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestToken")
            .field("mint", &self.mint)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

fn apply(overrides: &[(String, Option<Value>)], mut object: Value) -> Value {
    for (name, value) in overrides {
        match (object.as_object_mut(), value) {
            (Some(object), Some(value)) => drop(object.insert(name.clone(), value.clone())),
            (Some(object), None) => drop(object.remove(name)),
            (None, _) => {}
        }
    }
    object
}

#[track_caller]
#[allow(clippy::expect_used)] // documented in `claim` and `header`
fn to_json(value: impl Serialize) -> Value {
    serde_json::to_value(value).expect("the value can be serialized to JSON")
}

/// Returns a NumericDate (RFC 7519 §2) in whole seconds.
fn numeric_date(time: SystemTime) -> u64 {
    unix_time(time).as_secs()
}

/// Returns the time since 1970, or zero.
fn unix_time(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}
