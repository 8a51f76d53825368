//! The challenges of a `WWW-Authenticate` field.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::HeaderValue;

use super::{grammar::is_token, scheme::Scheme};
use crate::config_error::ConfigError;

/// One challenge of a `WWW-Authenticate` field (RFC 9110 §11.6.1): a scheme and its parameters.
///
/// The header value is formatted once, when the challenge is created. Using it in a response
/// increments a reference count. Parameter values are always quoted, with `"` and `\` escaped
/// (RFC 9110 §5.6.4). An invalid value is a [`ConfigError`], never a malformed header.
///
/// ```
/// use tower_auth::{Challenge, Scheme};
///
/// let challenge = Challenge::basic(r#"the "blue" door"#)?;
/// assert_eq!(
///     challenge.to_header_value(),
///     r#"Basic realm="the \"blue\" door", charset="UTF-8""#,
/// );
///
/// let custom = Challenge::new(Scheme::new("ApiKey")).with_param("realm", "api")?;
/// assert_eq!(custom.to_header_value(), r#"ApiKey realm="api""#);
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Challenge(Arc<ChallengeData>);

#[derive(PartialEq, Eq)]
struct ChallengeData {
    scheme: Scheme,
    params: Vec<(&'static str, Box<str>)>,
    value: HeaderValue,
}

impl Challenge {
    /// Creates a challenge without parameters.
    #[must_use]
    pub fn new(scheme: Scheme) -> Self {
        let value = HeaderValue::from_static(scheme.as_str());
        Self(Arc::new(ChallengeData { scheme, params: Vec::new(), value }))
    }

    /// Creates a `Basic` challenge with a realm (required by RFC 7617 §2) and `charset="UTF-8"`
    /// (§2.1).
    ///
    /// # Errors
    ///
    /// Returns an error if the realm contains a control character.
    pub fn basic(realm: &str) -> Result<Self, ConfigError> {
        Self::new(Scheme::BASIC).with_param("realm", realm)?.with_param("charset", "UTF-8")
    }

    /// Returns this challenge with one more parameter.
    ///
    /// # Errors
    ///
    /// Returns an error if
    ///
    /// - the name is not a token (RFC 9110 §5.6.2), or the challenge already has this parameter;
    /// - the value contains a control character;
    /// - the parameter is `error`, `error_description`, `error_uri` or `scope`, and the value
    ///   contains a character that RFC 6750 §3 does not allow there.
    pub fn with_param(&self, name: &'static str, value: &str) -> Result<Self, ConfigError> {
        if !is_token(name.as_bytes()) {
            return Err(ConfigError::invalid(format!(
                "challenge parameter {name:?}: the name must be a token (RFC 9110 §5.6.2)"
            )));
        }
        if self.param(name).is_some() {
            return Err(ConfigError::conflict(format!(
                "challenge parameter `{name}` is already set: set it once"
            )));
        }
        if !is_valid_param_value(name, value) {
            return Err(ConfigError::invalid(format!(
                "challenge parameter `{name}` contains an invalid character: remove control \
                 characters, and the characters that RFC 6750 §3 excludes for this parameter"
            )));
        }
        let mut params = self.0.params.clone();
        params.push((name, Box::from(value)));
        let scheme = self.0.scheme;
        let text = format_challenge(scheme, &params);
        let value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| {
            ConfigError::invalid(format!(
                "challenge parameter `{name}` is not a valid header value"
            ))
        })?;
        Ok(Self(Arc::new(ChallengeData { scheme, params, value })))
    }

    /// Returns this challenge with `params` set. They replace parameters of the same names.
    ///
    /// A parameter whose new value is empty or invalid is removed.
    pub(crate) fn with_params<const N: usize>(&self, params: [(&'static str, &str); N]) -> Self {
        let ChallengeData { scheme, params: current, .. } = &*self.0;
        let is_kept = |(name, _): &&(&'static str, Box<str>)| {
            !params.iter().any(|(new_name, _)| name.eq_ignore_ascii_case(new_name))
        };
        let added = params
            .iter()
            .filter(|(name, value)| !value.is_empty() && is_valid_param_value(name, value))
            .map(|(name, value)| (*name, Box::from(*value)));
        let params: Vec<_> = current.iter().filter(is_kept).cloned().chain(added).collect();
        match HeaderValue::from_maybe_shared(Bytes::from(format_challenge(*scheme, &params))) {
            Ok(value) => Self(Arc::new(ChallengeData { scheme: *scheme, params, value })),
            Err(_) => self.clone(), // unreachable: all parts are valid header text
        }
    }

    /// Returns this challenge with the parameters of another one in front, unless it has them.
    #[cfg(feature = "jwt")]
    pub(crate) fn with_params_of(&self, other: &Self) -> Self {
        let inherited = other.0.params.iter().filter(|(name, _)| self.param(name).is_none());
        let params: Vec<_> = inherited.chain(&self.0.params).cloned().collect();
        let scheme = self.0.scheme;
        match HeaderValue::from_maybe_shared(Bytes::from(format_challenge(scheme, &params))) {
            Ok(value) => Self(Arc::new(ChallengeData { scheme, params, value })),
            Err(_) => self.clone(), // unreachable: all parts are valid header text
        }
    }

    /// Returns this challenge for a response without an error, in which RFC 6750 §3 allows no
    /// `error_uri`.
    pub(crate) fn without_error_uri(&self) -> Self {
        match self.param("error_uri") {
            Some(_) => self.with_params([("error_uri", "")]),
            None => self.clone(),
        }
    }

    /// Returns the scheme.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.0.scheme
    }

    /// Returns the value of a parameter, without quotes. Names are case-insensitive (RFC 9110
    /// §11.2).
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        let mut params = self.0.params.iter();
        params.find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// Returns the value of a `WWW-Authenticate` header that contains only this challenge.
    #[must_use]
    pub fn to_header_value(&self) -> HeaderValue {
        self.0.value.clone()
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Challenge({:?})", self.0.value)
    }
}

/// The challenges of an [`Authenticator`](crate::Authenticator).
///
/// A 401 requires at least one (RFC 9110 §15.5.2). Only an authenticator without a scheme, such as
/// `None`, has none.
///
/// ```
/// use tower_auth::{Challenge, Challenges, Scheme};
///
/// let challenges = Challenges::from(Challenge::basic("staff")?)
///     .and(Challenge::new(Scheme::BEARER));
/// assert_eq!(challenges.iter().count(), 2);
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenges(Arc<[Challenge]>);

impl Challenges {
    /// Appends the challenges in `others` that are not already present.
    #[must_use]
    pub fn and(self, others: impl Into<Self>) -> Self {
        let others = others.into();
        if self.is_empty() {
            return others;
        }
        let new = others.iter().filter(|other| !self.0.contains(other));
        Self(self.iter().chain(new).cloned().collect())
    }

    /// Returns whether there is no challenge.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Creates challenges from a list.
    pub(crate) fn from_vec(challenges: Vec<Challenge>) -> Self {
        Self(challenges.into())
    }

    /// Returns whether both lists have the same schemes in the same order.
    pub(crate) fn covers_schemes_of(&self, other: &Self) -> bool {
        self.iter().map(Challenge::scheme).eq(other.iter().map(Challenge::scheme))
    }

    /// Returns the challenges, in the order in which responses contain them.
    pub fn iter(&self) -> impl Iterator<Item = &Challenge> {
        self.0.iter()
    }
}

impl From<Challenge> for Challenges {
    fn from(challenge: Challenge) -> Self {
        Self(Arc::new([challenge]))
    }
}

/// Formats a challenge as the value of a `WWW-Authenticate` header.
fn format_challenge(scheme: Scheme, params: &[(&'static str, Box<str>)]) -> String {
    let mut text = String::from(scheme.as_str());
    for (position, (name, value)) in params.iter().enumerate() {
        text.push_str(if position == 0 { " " } else { ", " });
        text.push_str(name);
        text.push_str("=\"");
        for character in value.chars() {
            if matches!(character, '"' | '\\') {
                text.push('\\');
            }
            text.push(character);
        }
        text.push('"');
    }
    text
}

/// Returns whether a parameter may have this value.
///
/// RFC 6750 §3 restricts four parameters. All other values may not contain control characters.
/// Names are case-insensitive.
fn is_valid_param_value(name: &str, value: &str) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    let is_uri_byte = |byte: u8| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~');
    if is("error") || is("error_description") || is("scope") {
        value.bytes().all(|byte| byte == b' ' || is_uri_byte(byte))
    } else if is("error_uri") {
        value.bytes().all(is_uri_byte)
    } else {
        !value.chars().any(char::is_control)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_names_are_checked_without_regard_to_case() {
        let challenge = Challenge::new(Scheme::BEARER);
        for (name, value) in
            [("Error", "a\"b"), ("SCOPE", "ü"), ("Error_Description", "\\"), ("error_URI", "a b")]
        {
            assert!(challenge.with_param(name, value).is_err(), "{name}");
        }
        assert!(challenge.with_param("Error", "invalid_token").is_ok());
        assert!(challenge.with_param("Realm", "ü \"b\"").is_ok());
    }

    #[test]
    fn control_characters_are_rejected_and_quotes_are_escaped() {
        for realm in ["a\r\nX-Injected: 1", "a\0b", "tab\there", "\u{7f}"] {
            assert!(Challenge::basic(realm).is_err(), "{realm:?}");
        }
        let quoted = Challenge::new(Scheme::BEARER).with_param("realm", r#"a\" error="x"#).unwrap();
        assert_eq!(quoted.to_header_value(), r#"Bearer realm="a\\\" error=\"x""#);
    }

    #[test]
    fn duplicate_parameter_is_rejected_whatever_its_case() {
        let challenge = Challenge::basic("a").unwrap();
        assert!(challenge.with_param("Realm", "b").is_err());
        assert_eq!(challenge.param("CHARSET"), Some("UTF-8"));
    }

    #[test]
    fn error_and_scope_values_are_limited_to_the_rfc_6750_character_sets() {
        let bearer = Challenge::new(Scheme::BEARER);
        for name in ["error", "error_description", "scope"] {
            assert!(bearer.with_param(name, "a\"b").is_err());
            assert!(bearer.with_param(name, "ü").is_err());
            assert!(bearer.with_param(name, "read write").is_ok());
        }
        assert!(bearer.with_param("error_uri", "https://a b").is_err());
    }
}
