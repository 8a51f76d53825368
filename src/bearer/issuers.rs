use std::{collections::HashMap, fmt, str, sync::Arc};

use http::request::Parts;

use super::token::token_in;
use crate::{
    authenticate::{Authentication, Authenticator},
    config_error::ConfigError,
    header::Challenges,
    jwt::{
        error::TokenError,
        jws::{
            compact::{self, Buffer, Compact},
            members::Members,
        },
        jwt_auth::JwtAuth,
    },
};

/// Accepts the tokens of several issuers, each under its own keys, audiences and rules.
///
/// The `iss` of a token says which validator it goes to, before anything of it is verified; that validator then
/// accepts it for that issuer alone. So no issuer can speak for another (RFC 8725 §3.8).
///
/// ```
/// use tower_auth::{AuthenticateLayer, ConfigError, JwtAuth, jwt::{Issuers, Keys}};
///
/// # fn f(staff_keys: Keys, partner_keys: Keys) -> Result<(), ConfigError> {
/// let staff = JwtAuth::builder(staff_keys).issuer("https://staff.example").audience("orders").build()?;
/// let partner = JwtAuth::builder(partner_keys)
///     .issuer("https://partner.example")
///     .audience("orders-for-partners")
///     .build()?;
/// let layer = AuthenticateLayer::new(Issuers::new([staff, partner])?);
/// # Ok(()) }
/// ```
///
/// Who sends nothing is challenged as the first of them does; a refused token, as its issuer's.
#[derive(Clone)]
pub struct Issuers(Arc<Inner>);

struct Inner {
    first: JwtAuth,
    /// The longest that any of them reads.
    max_token_bytes: usize,
    by_issuer: HashMap<Arc<str>, JwtAuth>,
}

impl Issuers {
    /// Puts validators side by side.
    ///
    /// # Errors
    ///
    /// If there is none, if one takes any issuer, or if two take the same.
    pub fn new(validators: impl IntoIterator<Item = JwtAuth>) -> Result<Self, ConfigError> {
        let (mut first, mut by_issuer, mut max_token_bytes) = (None, HashMap::new(), 0);
        for validator in validators {
            let issuers = validator.issuers();
            if issuers.is_empty() {
                return Err(ConfigError::new(
                    "a validator among several takes any issuer: name its issuers",
                ));
            }
            for issuer in issuers {
                if by_issuer.insert(Arc::clone(issuer), validator.clone()).is_some() {
                    return Err(ConfigError::new(format!(
                        "two validators take the issuer {issuer:?}: leave it to one of them"
                    )));
                }
            }
            max_token_bytes = max_token_bytes.max(validator.0.max_token_bytes);
            first.get_or_insert(validator);
        }
        let first = first.ok_or_else(|| ConfigError::new("no validator: give at least one"))?;
        Ok(Self(Arc::new(Inner { first, max_token_bytes, by_issuer })))
    }
}

impl Authenticator for Issuers {
    type Future = Authentication;

    fn authenticate(&self, head: &Parts) -> Option<Authentication> {
        let Inner { first, by_issuer, .. } = &*self.0;
        let token = match token_in(head, self.0.max_token_bytes)? {
            Ok(token) => token,
            Err(rejection) => return Some(Authentication::ready(Err(rejection))),
        };
        Some(match with_issuer(token, |issuer| by_issuer.get(issuer)) {
            Ok(Some(validator)) => validator.authenticate_token(token),
            Ok(None) => Authentication::ready(Err(first.reject(TokenError::Issuer))),
            Err(error) => Authentication::ready(Err(first.reject(error))),
        })
    }

    fn into_ready(future: Self::Future) -> Result<<Self::Future as Future>::Output, Self::Future> {
        future.into_ready()
    }

    fn challenges(&self, head: &Parts) -> Challenges {
        self.0.first.challenges(head)
    }
}

impl fmt::Debug for Issuers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.by_issuer.keys()).finish()
    }
}

/// Looks at the `iss` of a token that nobody has verified. It may choose a validator, and nothing else.
pub(crate) fn with_issuer<T>(token: &[u8], f: impl FnOnce(&str) -> T) -> Result<T, TokenError> {
    let mut buffer = Buffer::new();
    let payload = compact::decode(Compact::parse(token)?.payload, &mut buffer)?;
    let payload = str::from_utf8(payload).map_err(|_| TokenError::MalformedClaims)?;
    let (mut members, mut issuer) = (Members::new(payload), None);
    while let Some((name, value)) = members.next()? {
        if *name == *b"iss" {
            issuer = Some(members.text(value)?);
        } else {
            members.skip(value)?;
        }
    }
    issuer.map(|issuer| f(&issuer)).ok_or_else(|| TokenError::MissingClaim("iss".into()))
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    use super::*;

    #[test]
    fn the_issuer_is_found_or_the_token_is_refused() {
        let issuer = |json: &str| {
            let token = format!("e30.{}.", URL_SAFE_NO_PAD.encode(json));
            with_issuer(token.as_bytes(), str::to_owned)
        };
        assert_eq!(issuer(r#"{"a": [{"iss": "no"}], "iss": "y\u0065s"}"#).unwrap(), "yes");
        assert_eq!(issuer("{}"), Err(TokenError::MissingClaim("iss".into())));
        for odd in [r#"{"iss": "a", "iss": "b"}"#, r#"{"iss": 1}"#, r#"{"iss": null}"#, "[]", ""] {
            assert_eq!(issuer(odd), Err(TokenError::MalformedClaims), "{odd}");
        }
        assert_eq!(with_issuer(b"a.b", str::to_owned), Err(TokenError::NotCompactJws));
    }
}
