use std::{collections::HashMap, fmt, str, sync::Arc};

use http::request::Parts;

use super::token::token_from_head;
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

/// Accepts the tokens of several issuers, each with its own keys, audiences and rules.
///
/// The `iss` of a token selects the validator before the token is verified. The selected validator
/// then accepts the token for this issuer only, so one issuer cannot sign tokens for another (RFC
/// 8725 §3.8).
///
/// ```
/// use tower_auth::{AuthenticateLayer, ConfigError, JwtAuth, jwt::{Issuers, Keys}};
///
/// # fn f(staff_keys: Keys, partner_keys: Keys) -> Result<(), ConfigError> {
/// let staff =
///     JwtAuth::builder(staff_keys).issuer("https://staff.example").audience("orders").build()?;
/// let partner = JwtAuth::builder(partner_keys)
///     .issuer("https://partner.example")
///     .audience("orders-for-partners")
///     .build()?;
/// let layer = AuthenticateLayer::new(Issuers::new([staff, partner])?);
/// # Ok(()) }
/// ```
///
/// A request without credentials gets the challenge of the first validator. A rejected token gets
/// the challenge of the validator of its issuer, or of the first validator if the issuer is
/// unknown.
#[derive(Clone)]
pub struct Issuers(Arc<IssuerTable>);

struct IssuerTable {
    first: JwtAuth,
    /// The largest size limit of all validators.
    max_token_bytes: usize,
    by_issuer: HashMap<Arc<str>, JwtAuth>,
}

impl Issuers {
    /// Combines the validators of several issuers.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no validator, if a validator accepts any issuer, or if two
    /// validators accept the same issuer.
    pub fn new(validators: impl IntoIterator<Item = JwtAuth>) -> Result<Self, ConfigError> {
        let (mut first, mut by_issuer, mut max_token_bytes) = (None, HashMap::new(), 0);
        for validator in validators {
            let issuers = validator.issuers();
            if issuers.is_empty() {
                return Err(ConfigError::new(
                    "a validator accepts any issuer: configure its issuers with `issuer`",
                ));
            }
            for issuer in issuers {
                if by_issuer.insert(Arc::clone(issuer), validator.clone()).is_some() {
                    return Err(ConfigError::new(format!(
                        "two validators accept the issuer {issuer:?}: remove it from one of them"
                    )));
                }
            }
            max_token_bytes = max_token_bytes.max(validator.0.max_token_bytes);
            first.get_or_insert(validator);
        }
        let first = first.ok_or_else(|| ConfigError::new("no validator: pass at least one"))?;
        Ok(Self(Arc::new(IssuerTable { first, max_token_bytes, by_issuer })))
    }
}

impl Authenticator for Issuers {
    fn authenticate(&self, head: &Parts) -> Option<Authentication> {
        let IssuerTable { first, by_issuer, .. } = &*self.0;
        let token = match token_from_head(head, self.0.max_token_bytes)? {
            Ok(token) => token,
            Err(rejection) => return Some(Authentication::ready(Err(rejection))),
        };
        Some(match with_unverified_issuer(token, |issuer| by_issuer.get(issuer)) {
            Ok(Some(validator)) => validator.authenticate_token(token),
            Ok(None) => Authentication::ready(Err(first.reject(TokenError::Issuer))),
            Err(error) => Authentication::ready(Err(first.reject(error))),
        })
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

/// Passes the `iss` of an unverified token to a closure.
///
/// The value must be used to select a validator, and for nothing else.
pub(crate) fn with_unverified_issuer<T>(
    token: &[u8],
    f: impl FnOnce(&str) -> T,
) -> Result<T, TokenError> {
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
    fn token_without_readable_issuer_is_rejected() {
        let issuer = |json: &str| {
            let token = format!("e30.{}.", URL_SAFE_NO_PAD.encode(json));
            with_unverified_issuer(token.as_bytes(), str::to_owned)
        };
        assert_eq!(issuer(r#"{"a": [{"iss": "no"}], "iss": "y\u0065s"}"#).unwrap(), "yes");
        assert_eq!(issuer("{}"), Err(TokenError::MissingClaim("iss".into())));
        for invalid in
            [r#"{"iss": "a", "iss": "b"}"#, r#"{"iss": 1}"#, r#"{"iss": null}"#, "[]", ""]
        {
            assert_eq!(issuer(invalid), Err(TokenError::MalformedClaims), "{invalid}");
        }
        assert_eq!(with_unverified_issuer(b"a.b", str::to_owned), Err(TokenError::NotCompactJws));
    }
}
