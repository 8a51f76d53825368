use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{key, mint::TokenMint};

/// A token that is being written: see [`TokenMint::token`].
///
/// Unless you say otherwise, it is an access token as RFC 9068 has it, of type `at+jwt`, that was issued now and
/// expires in five minutes, with `iss`, `sub`, `jti` and `client_id`. It has no `aud` and no `scope`.
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
/// For the tests of refusals, there are [`expired`](Self::expired), [`without`](Self::without),
/// [`header`](Self::header) and [`signed_by_unknown_key`](Self::signed_by_unknown_key).
#[derive(Clone)]
#[must_use = "sign it"]
pub struct TestToken {
    mint: TokenMint,
    subject: String,
    audience: Vec<String>,
    scopes: Option<String>,
    issued_at: Option<SystemTime>,
    expires_in: Duration,
    expired: bool,
    strange: bool,
    header: Changes,
    claims: Changes,
}

/// What was said of single members, in order. `None` takes one away.
type Changes = Vec<(String, Option<Value>)>;

impl TokenMint {
    /// A token about this subject, to be filled in and [signed](TestToken::sign).
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
            strange: false,
            header: Vec::new(),
            claims: Vec::new(),
        }
    }

    /// Who it is for (`aud`). Call it again for more, which makes it an array.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience.push(audience.into());
        self
    }

    /// What it grants (`scope`), in place of what was said before.
    pub fn scopes<I>(mut self, scopes: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let scopes: Vec<_> = scopes.into_iter().collect();
        let scopes: Vec<_> = scopes.iter().map(AsRef::as_ref).collect();
        self.scopes = Some(scopes.join(" "));
        self
    }

    /// Any claim, those included that are there otherwise: this comes last.
    ///
    /// # Panics
    ///
    /// If the value cannot be written as JSON.
    pub fn claim(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        self.claims.push((name.into(), Some(json_of(value))));
        self
    }

    /// Leaves a claim out.
    pub fn without(mut self, name: impl Into<String>) -> Self {
        self.claims.push((name.into(), None));
        self
    }

    /// When it was issued (`iat`), which [`expires_in`](Self::expires_in) counts from.
    pub fn issued_at(mut self, time: SystemTime) -> Self {
        self.issued_at = Some(time);
        self
    }

    /// How long after it was issued it expires (`exp`).
    pub fn expires_in(mut self, time: Duration) -> Self {
        self.expires_in = time;
        self
    }

    /// Makes it one that expired an hour ago, which is longer than any leeway.
    pub fn expired(mut self) -> Self {
        self.expired = true;
        self
    }

    /// From when on it is good (`nbf`).
    pub fn not_before(self, time: SystemTime) -> Self {
        self.claim("nbf", seconds(time))
    }

    /// How the caller proved who they are (`acr`, OpenID Connect Core 1.0 §2, RFC 9470).
    pub fn acr(self, acr: impl Into<String>) -> Self {
        self.claim("acr", acr.into())
    }

    /// When the caller did (`auth_time`, as before).
    pub fn auth_time(self, time: SystemTime) -> Self {
        self.claim("auth_time", seconds(time))
    }

    /// What kind of token it is (`typ`), in place of `at+jwt`.
    pub fn typ(self, typ: impl Into<String>) -> Self {
        self.header("typ", typ.into())
    }

    /// Any member of the header, those included that are there otherwise: a `kid` that no key has, say. The
    /// signature is that of the mint's key all the same.
    ///
    /// # Panics
    ///
    /// If the value cannot be written as JSON.
    pub fn header(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        self.header.push((name.into(), Some(json_of(value))));
        self
    }

    /// Lets it be signed by somebody else, who gives out their key for the mint's: the signature is wrong.
    pub fn signed_by_unknown_key(mut self) -> Self {
        self.strange = true;
        self
    }

    /// The token, for `Authorization: Bearer`. Each has a `jti` of its own.
    #[must_use]
    pub fn sign(&self) -> String {
        let key = self.mint.key(self.strange);
        let header = json!({ "alg": key.algorithm, "kid": key.id, "typ": "at+jwt" });
        key.sign(&with(header, &self.header), &with(self.claims(), &self.claims))
    }

    fn claims(&self) -> Value {
        const HOUR: Duration = Duration::from_secs(3600);

        let now = self.mint.now();
        let (issued_at, expires_at) = if self.expired {
            let end = now - HOUR;
            (self.issued_at.unwrap_or(end - self.expires_in), end)
        } else {
            let start = self.issued_at.unwrap_or(now);
            (start, start + self.expires_in)
        };
        let mut claims = Map::from_iter([
            ("iss".to_owned(), self.mint.issuer().into()),
            ("sub".to_owned(), self.subject.as_str().into()),
            ("iat".to_owned(), seconds(issued_at).into()),
            ("exp".to_owned(), seconds(expires_at).into()),
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

/// Claims stay out: they may be those of somebody.
impl fmt::Debug for TestToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestToken")
            .field("mint", &self.mint)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

fn with(mut object: Value, changes: &[(String, Option<Value>)]) -> Value {
    for (name, value) in changes {
        match (object.as_object_mut(), value) {
            (Some(object), Some(value)) => drop(object.insert(name.clone(), value.clone())),
            (Some(object), None) => drop(object.remove(name)),
            (None, _) => {}
        }
    }
    object
}

#[allow(clippy::expect_used)] // documented at `claim` and `header`
fn json_of(value: impl Serialize) -> Value {
    serde_json::to_value(value).expect("the value can be written as JSON")
}

/// A NumericDate (RFC 7519 §2), in whole seconds.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
