use crate::{
    json::value::text,
    jwt::error::TokenError,
    principal::{Principal, claims_set::ClaimsSet},
};

/// The members of a response that say what kind of token it is about.
///
/// RFC 7662 does not limit introspection to access tokens: endpoints also describe refresh tokens,
/// which must not be accepted instead.
pub(super) struct TokenKinds {
    /// The accepted values of `token_type`, besides `Bearer` and `DPoP`.
    pub(super) accepted: Vec<Box<str>>,
    pub(super) any: bool,
}

impl TokenKinds {
    /// Rejects tokens that are not access tokens, as far as the response says so.
    pub(super) fn check(&self, claims: &ClaimsSet) -> Result<(), TokenError> {
        if self.any {
            return Ok(());
        }
        let is_absent = |json: &str| json == "null";
        let one_of = |name: &str, is_accepted: &dyn Fn(&str) -> bool| match claims.get(name) {
            None => true,
            Some(json) => is_absent(json) || text(json).is_some_and(|value| is_accepted(&value)),
        };
        let is =
            |value: &str, names: &[&str]| names.iter().any(|name| value.eq_ignore_ascii_case(name));
        // RFC 6749 §5.1. `access_token` is not a type, but some servers send it.
        let is_type = |value: &str| {
            is(value, &["Bearer", "DPoP", "access_token"])
                || self.accepted.iter().any(|accepted| value.eq_ignore_ascii_case(accepted))
        };
        // Ory Hydra, Amazon Cognito.
        let is_use = |value: &str| is(value, &["access_token", "access"]);
        // Keycloak. Other servers have other values.
        let is_typ = |value: &str| {
            !is(value, &["Refresh", "Offline", "ID", "Serialized-ID", "Logout", "logout+jwt"])
        };
        let is_access_token = one_of("token_type", &is_type)
            && one_of("token_use", &is_use)
            && one_of("typ", &is_typ);
        if is_access_token { Ok(()) } else { Err(TokenError::Type) }
    }

    /// Rejects a DPoP token that is not bound to a key.
    pub(super) fn check_binding(&self, principal: &Principal) -> Result<(), TokenError> {
        let token_type = principal.claim::<String>("token_type").unwrap_or_default();
        if token_type.eq_ignore_ascii_case("DPoP") && principal.confirmation().is_none() {
            return Err(TokenError::Unbound);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kinds: &TokenKinds, members: &str) -> Result<(), TokenError> {
        kinds.check(&ClaimsSet::parse(format!("{{{members}}}").into()).unwrap())
    }

    #[test]
    fn token_that_is_no_access_token_is_rejected() {
        let kinds = TokenKinds { accepted: vec!["urn:x".into()], any: false };
        let any = TokenKinds { accepted: Vec::new(), any: true };
        for accepted in [
            "",
            r#""token_type": "Bearer""#,
            r#""token_type": "bearer""#,
            r#""token_type": "DPoP""#,
            r#""token_type": "access_token""#,
            r#""token_type": "URN:X""#,
            r#""token_type": null, "token_use": null, "typ": null"#,
            r#""token_use": "access_token""#,
            r#""token_use": "access""#,
            r#""typ": "Bearer""#,
            r#""typ": "at+jwt""#,
        ] {
            assert_eq!(check(&kinds, accepted), Ok(()), "{accepted}");
        }
        for rejected in [
            r#""token_type": "refresh_token""#,
            r#""token_type": "N_A""#,
            r#""token_type": "mac""#,
            r#""token_type": """#,
            r#""token_type": ["Bearer"]"#,
            r#""token_type": 1"#,
            r#""token_type": "Bearer", "token_use": "refresh_token""#,
            r#""token_use": "id""#,
            r#""typ": "Refresh""#,
            r#""typ": "offline""#,
            r#""typ": "ID""#,
            r#""typ": "logout+jwt""#,
            r#""typ": "Re\u0066resh""#,
            r#""typ": {}"#,
        ] {
            assert_eq!(check(&kinds, rejected), Err(TokenError::Type), "{rejected}");
            assert_eq!(check(&any, rejected), Ok(()), "{rejected}");
        }
    }
}
