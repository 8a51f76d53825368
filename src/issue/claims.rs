use std::{error::Error, future::Future, sync::Arc};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{later::BoxFuture, one_or_many::OneOrMany};

/// For whom the claims closure is called, at a login and at each refresh.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClaimsRequest {
    /// The subject of the token.
    pub subject: String,
    /// The client that gets the token.
    pub client_id: String,
    /// The scopes that were granted at the login.
    pub scopes: Vec<String>,
    /// Whether this is a refresh.
    pub is_refresh: bool,
}

/// The claims that a service adds to an access token.
///
/// ```
/// use tower_auth::issue::AccessClaims;
///
/// #[derive(serde::Serialize)]
/// struct Custom {
///     roles: Vec<String>,
/// }
///
/// let claims = AccessClaims::new(&Custom { roles: vec!["admin".into()] });
/// ```
#[derive(Clone, Debug)]
pub struct AccessClaims {
    pub(super) custom: Result<Map<String, Value>, &'static str>,
    pub(super) scopes: Option<Vec<String>>,
}

/// The claims that the issuer sets itself.
const RESERVED: [&str; 17] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "sid",
    "fst",
    "client_id",
    "scope",
    "auth_time",
    "acr",
    "amr",
    "cnf",
    "events",
    "nonce",
];

impl AccessClaims {
    /// Adds the members of a value, such as a struct.
    ///
    /// It must serialize to a JSON object. Its members must not be claims that the issuer sets:
    /// `iss`, `sub`, `aud`, `exp`, `nbf`, `iat`, `jti`, `sid`, `fst`, `client_id`, `scope`,
    /// `auth_time`, `acr`, `amr`, `cnf`, `events` and `nonce`. The access token must not be longer
    /// than 16 KiB. Otherwise, no tokens are issued, and the error says so.
    pub fn new(claims: &impl Serialize) -> Self {
        let custom = match serde_json::to_value(claims) {
            Ok(Value::Object(members))
                if RESERVED.iter().any(|name| members.contains_key(*name)) =>
            {
                Err("the claims closure sets a claim that the issuer sets: rename it, see \
                     AccessClaims::new")
            }
            Ok(Value::Object(members)) => Ok(members),
            _ => Err("the claims do not serialize to a JSON object: pass a struct or a map"),
        };
        Self { custom, scopes: None }
    }

    /// Adds no claims.
    pub fn none() -> Self {
        Self { custom: Ok(Map::new()), scopes: None }
    }

    /// Limits the scopes of the access token to these, for example after a user has lost a role.
    /// Scopes that were not granted at the login are ignored.
    #[must_use]
    pub fn scopes<K>(mut self, scopes: impl OneOrMany<str, K>) -> Self {
        self.scopes = Some(scopes.values().map(|scope| scope.as_ref().to_owned()).collect());
        self
    }
}

/// The result of a claims closure.
pub(super) type ClaimsResult = Result<Option<AccessClaims>, Box<dyn Error + Send + Sync>>;

pub(super) type ClaimsFn =
    Arc<dyn Fn(ClaimsRequest) -> BoxFuture<'static, ClaimsResult> + Send + Sync>;

/// Boxes a claims closure.
pub(super) fn claims_fn<F, Q, E>(closure: F) -> ClaimsFn
where
    F: Fn(ClaimsRequest) -> Q + Send + Sync + 'static,
    Q: Future<Output = Result<Option<AccessClaims>, E>> + Send + 'static,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    Arc::new(move |request| {
        let claims = closure(request);
        Box::pin(async move { claims.await.map_err(Into::into) })
    })
}
