//! Writes `WWW-Authenticate`.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::HeaderValue;

use super::{grammar::is_token, scheme::Scheme};
use crate::config_error::ConfigError;

/// One challenge of a `WWW-Authenticate` field (RFC 9110 §11.6.1): a scheme and its parameters.
///
/// It is written once, when it is made, so that refusing a request costs a reference count.
/// Parameter values are always quoted, with `"` and `\` escaped (RFC 9110 §5.6.4); a value that
/// cannot be written is a [`ConfigError`], never a broken header.
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
/// let own = Challenge::new(Scheme::new("ApiKey")).with_param("realm", "api")?;
/// assert_eq!(own.to_header_value(), r#"ApiKey realm="api""#);
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Challenge(Arc<Inner>);

#[derive(PartialEq, Eq)]
struct Inner {
    scheme: Scheme,
    params: Vec<(&'static str, Box<str>)>,
    value: HeaderValue,
}

impl Challenge {
    /// A challenge without parameters.
    #[must_use]
    pub fn new(scheme: Scheme) -> Self {
        let value = HeaderValue::from_static(scheme.as_str());
        Self(Arc::new(Inner { scheme, params: Vec::new(), value }))
    }

    /// `Basic` with its realm, which RFC 7617 §2 requires, and `charset="UTF-8"` (§2.1).
    ///
    /// # Errors
    ///
    /// If the realm holds a control character.
    pub fn basic(realm: &str) -> Result<Self, ConfigError> {
        Self::new(Scheme::BASIC).with_param("realm", realm)?.with_param("charset", "UTF-8")
    }

    /// This challenge with one parameter more.
    ///
    /// # Errors
    ///
    /// If the name is no token or is there already, or if the value may not be written: control
    /// characters never may, and `error`, `error_description`, `error_uri` and `scope` have smaller
    /// character sets still (RFC 6750 §3).
    pub fn with_param(&self, name: &'static str, value: &str) -> Result<Self, ConfigError> {
        if !is_token(name.as_bytes()) {
            return Err(ConfigError::new(format!(
                "challenge parameter {name:?}: the name must be a token of RFC 9110"
            )));
        }
        if self.param(name).is_some() {
            return Err(ConfigError::new(format!(
                "challenge parameter `{name}` is there already: give it once"
            )));
        }
        if !writable(name, value) {
            return Err(ConfigError::new(format!(
                "challenge parameter `{name}` holds a character that may not be written there: \
                 leave out control characters, and quotes and backslashes where RFC 6750 does"
            )));
        }
        let value = Box::from(value);
        let mut params = self.0.params.clone();
        params.push((name, value));
        let scheme = self.0.scheme;
        let value = HeaderValue::from_bytes(written(scheme, &params).as_bytes()).map_err(|_| {
            ConfigError::new(format!("challenge parameter `{name}` is no header text"))
        })?;
        Ok(Self(Arc::new(Inner { scheme, params, value })))
    }

    /// This challenge with these parameters in place of those that it has of the same names. One without a value, or with a
    /// value that may not be written, is left out.
    pub(crate) fn saying<const N: usize>(&self, params: [(&'static str, &str); N]) -> Self {
        let Inner { scheme, params: own, .. } = &*self.0;
        let stays = |(name, _): &&(&'static str, Box<str>)| {
            !params.iter().any(|(new, _)| name.eq_ignore_ascii_case(new))
        };
        let said = params.iter().filter(|(name, value)| !value.is_empty() && writable(name, value));
        let said = said.map(|(name, value)| (*name, Box::from(*value)));
        let params: Vec<_> = own.iter().filter(stays).cloned().chain(said).collect();
        match HeaderValue::from_maybe_shared(Bytes::from(written(*scheme, &params))) {
            Ok(value) => Self(Arc::new(Inner { scheme: *scheme, params, value })),
            Err(_) => self.clone(), // the scheme, the names and the values are header text
        }
    }

    /// The scheme that it asks for.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.0.scheme
    }

    /// A parameter's value, unquoted. Names compare without regard to case (RFC 9110 §11.2).
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        let found = self.0.params.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| &**value)
    }

    /// The field value, ready for a `WWW-Authenticate` line of its own.
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

/// The challenges of an [`Authenticator`](crate::Authenticator): at least one, since a 401 without
/// any breaks RFC 9110 §15.5.2.
///
/// ```
/// use tower_auth::{Challenge, Challenges, Scheme};
///
/// let challenges = Challenges::from(Challenge::basic("staff")?)
///     .and(Challenge::new(Scheme::BEARER));
/// assert_eq!(challenges.iter().count(), 2);
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenges(Arc<[Challenge]>);

impl Challenges {
    /// These challenges, and then those that are not there yet.
    #[must_use]
    pub fn and(self, others: impl Into<Self>) -> Self {
        let others = others.into();
        let new = others.iter().filter(|other| !self.0.contains(other));
        Self(self.iter().chain(new).cloned().collect())
    }

    /// Those of a list, which is not empty.
    pub(crate) fn listed(challenges: Vec<Challenge>) -> Self {
        Self(challenges.into())
    }

    /// Whether each of them is for the scheme of the one that is asked for in the same place.
    pub(crate) fn speak_for(&self, asked: &Self) -> bool {
        self.iter().map(Challenge::scheme).eq(asked.iter().map(Challenge::scheme))
    }

    /// In the order in which they are written.
    pub fn iter(&self) -> impl Iterator<Item = &Challenge> {
        self.0.iter()
    }
}

impl From<Challenge> for Challenges {
    fn from(challenge: Challenge) -> Self {
        Self(Arc::new([challenge]))
    }
}

fn written(scheme: Scheme, params: &[(&'static str, Box<str>)]) -> String {
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

/// Whether RFC 6750 §3 (or, for every other parameter, a quoted-string without controls) takes it.
fn writable(name: &str, value: &str) -> bool {
    match name {
        "error" | "error_description" | "scope" => {
            value.bytes().all(|byte| matches!(byte, b' '..=b'!' | b'#'..=b'[' | b']'..=b'~'))
        }
        "error_uri" => value.bytes().all(|byte| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~')),
        _ => !value.chars().any(char::is_control),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_can_break_out_of_the_quotes() {
        for bad in ["a\r\nX-Injected: 1", "a\0b", "tab\there", "\u{7f}"] {
            assert!(Challenge::basic(bad).is_err(), "{bad:?}");
        }
        let odd = Challenge::new(Scheme::BEARER).with_param("realm", r#"a\" error="x"#).unwrap();
        assert_eq!(odd.to_header_value(), r#"Bearer realm="a\\\" error=\"x""#);
    }

    #[test]
    fn each_parameter_is_given_once() {
        let challenge = Challenge::basic("a").unwrap();
        assert!(challenge.with_param("Realm", "b").is_err());
        assert_eq!(challenge.param("CHARSET"), Some("UTF-8"));
    }

    #[test]
    fn rfc_6750_leaves_quotes_out_of_errors_and_scopes() {
        let bearer = Challenge::new(Scheme::BEARER);
        for name in ["error", "error_description", "scope"] {
            assert!(bearer.with_param(name, "a\"b").is_err());
            assert!(bearer.with_param(name, "ü").is_err());
            assert!(bearer.with_param(name, "read write").is_ok());
        }
        assert!(bearer.with_param("error_uri", "https://a b").is_err());
    }
}
