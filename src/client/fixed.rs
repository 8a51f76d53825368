//! Credentials that do not change.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, request::Parts};

use super::authorization::{Authorization, AuthorizationSource};
use crate::{
    config_error::ConfigError,
    header::{Scheme, grammar::is_b64token_byte},
};

/// A user id and a password for HTTP Basic (RFC 7617).
///
/// ```
/// use tower_auth::client::BasicAuthorization;
///
/// let credentials = BasicAuthorization::new("Aladdin", "open sesame")?;
/// assert_eq!(credentials.header_value(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
/// assert_eq!(format!("{credentials:?}"), "BasicAuthorization { .. }");
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct BasicAuthorization(HeaderValue);

impl BasicAuthorization {
    /// Creates the credentials.
    ///
    /// They are sent as UTF-8, regardless of the charset in the server's challenge.
    ///
    /// # Errors
    ///
    /// Returns an error if the user id contains a colon, or either part contains a control
    /// character (RFC 7617 §2).
    pub fn new(user_id: &str, password: &str) -> Result<Self, ConfigError> {
        // If the arguments are swapped, the user id is the password. The errors contain neither.
        if user_id.contains(':') {
            return Err(ConfigError::invalid(
                "user id must not contain a colon (RFC 7617 §2): remove it, or swap the user id \
                 and the password if they are in the wrong order",
            ));
        }
        if user_id.chars().chain(password.chars()).any(char::is_control) {
            return Err(ConfigError::invalid(
                "user id and password must not contain control characters (RFC 7617 §2): remove \
                 them, for example the line break after a password that was read from a file",
            ));
        }
        let pair = STANDARD.encode(format!("{user_id}:{password}"));
        header_value("Basic", &pair).map(Self)
    }

    /// Returns the value of the `Authorization` header, marked as sensitive.
    #[must_use]
    pub fn header_value(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl AuthorizationSource for BasicAuthorization {
    fn authorization(&self, _: &Parts) -> Authorization {
        Authorization::ready(Ok(self.header_value()))
    }
}

impl fmt::Debug for BasicAuthorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicAuthorization").finish_non_exhaustive()
    }
}

/// A fixed bearer token (RFC 6750).
///
/// ```
/// use tower_auth::client::BearerToken;
///
/// let token = BearerToken::new("mF_9.B5f-4.1JqM")?;
/// assert_eq!(token.header_value(), "Bearer mF_9.B5f-4.1JqM");
/// assert_eq!(format!("{token:?}"), "BearerToken { .. }");
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct BearerToken(HeaderValue);

impl BearerToken {
    /// Creates the credentials from a token, without the scheme.
    ///
    /// # Errors
    ///
    /// Returns an error if `token` is not a b64token (RFC 6750 §2.1).
    pub fn new(token: &str) -> Result<Self, ConfigError> {
        token_header_value(Scheme::BEARER, token).map(Self)
    }

    /// Returns the value of the `Authorization` header, marked as sensitive.
    #[must_use]
    pub fn header_value(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl AuthorizationSource for BearerToken {
    fn authorization(&self, _: &Parts) -> Authorization {
        Authorization::ready(Ok(self.header_value()))
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerToken").finish_non_exhaustive()
    }
}

/// A fixed token that is bound to a [`DpopKey`](crate::dpop::DpopKey) (RFC 9449).
///
/// It is sent with [`AttachLayer::dpop`](super::AttachLayer::dpop), which adds the proofs.
///
/// ```
/// use tower_auth::{
///     client::{AttachLayer, DpopToken},
///     dpop::DpopKey,
/// };
///
/// let token = DpopToken::new("mF_9.B5f-4.1JqM")?;
/// let layer = AttachLayer::new(token).dpop(DpopKey::new()?);
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
#[cfg(feature = "dpop")]
#[derive(Clone)]
pub struct DpopToken(HeaderValue);

#[cfg(feature = "dpop")]
impl DpopToken {
    /// Creates the credentials from a token, without the scheme.
    ///
    /// # Errors
    ///
    /// Returns an error if `token` is not a b64token (RFC 6750 §2.1).
    pub fn new(token: &str) -> Result<Self, ConfigError> {
        token_header_value(Scheme::DPOP, token).map(Self)
    }
}

#[cfg(feature = "dpop")]
impl AuthorizationSource for DpopToken {
    fn authorization(&self, _: &Parts) -> Authorization {
        Authorization::ready(Ok(self.0.clone()))
    }
}

#[cfg(feature = "dpop")]
impl fmt::Debug for DpopToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DpopToken").finish_non_exhaustive()
    }
}

/// Returns the value of `Authorization` with a token. Errors do not contain the token.
pub(super) fn token_header_value(scheme: Scheme, token: &str) -> Result<HeaderValue, ConfigError> {
    // Padding is allowed only at the end, and a token must not consist of padding alone.
    let unpadded = token.trim_end_matches('=');
    if unpadded.is_empty() || !unpadded.bytes().all(|byte| byte != b'=' && is_b64token_byte(byte)) {
        return Err(ConfigError::invalid(
            "token must consist of letters, digits and -._~+/, optionally followed by = (RFC 6750 \
             §2.1): pass it without scheme, quotes or white space",
        ));
    }
    header_value(scheme.as_str(), token)
}

fn header_value(scheme: &str, value: &str) -> Result<HeaderValue, ConfigError> {
    let mut value = HeaderValue::try_from(format!("{scheme} {value}"))
        .map_err(|_| ConfigError::invalid("credentials are not a valid header value"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_value_is_marked_as_sensitive() {
        assert!(BasicAuthorization::new("alice", "secret").unwrap().header_value().is_sensitive());
        assert!(BearerToken::new("abc").unwrap().header_value().is_sensitive());
    }

    #[test]
    fn basic_is_encoded_as_utf_8_and_password_may_contain_colons() {
        let value = |user_id, password| {
            let credentials = BasicAuthorization::new(user_id, password).unwrap();
            credentials.header_value().to_str().unwrap().to_owned()
        };
        assert_eq!(value("test", "123£"), "Basic dGVzdDoxMjPCow==");
        assert_eq!(value("a", "b:c"), "Basic YTpiOmM=");
        assert_eq!(value("", ""), "Basic Og==");
    }

    #[test]
    fn invalid_basic_credentials_are_rejected_without_secrets_in_the_error() {
        for (user_id, password) in [
            ("s3cret:x", "y"),
            ("alice", "s3cret\n"),
            ("s3cret\0", "y"),
            ("alice", "s3cret\u{85}"),
            ("alice", "s3cret\x7f"),
        ] {
            let error = BasicAuthorization::new(user_id, password).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"));
        }
    }

    #[test]
    fn bearer_token_must_be_a_b64token() {
        for valid in ["a", "a.b-c_d~e+f/g", "abc=", "abc=="] {
            assert!(BearerToken::new(valid).is_ok(), "{valid}");
        }
        for invalid in
            ["", "=", "a=b", "a b", "Bearer abc", "abc\n", "abc ", "\"abc\"", "abc,", "a:b", "é"]
        {
            assert!(BearerToken::new(invalid).is_err(), "{invalid}");
        }
        let error = BearerToken::new("Bearer s3cret").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"));
    }
}
