use std::fmt;

use http::{HeaderMap, header::AUTHORIZATION};

use super::error::CredentialsError;
use crate::header::{Scheme, grammar::is_token_byte};

/// The `Authorization` field of a request: a scheme, and what follows it (RFC 9110 §11.4).
///
/// This is the one place where the field is taken apart; schemes of your own start from it.
///
/// ```
/// use http::HeaderMap;
/// use tower_auth::{Scheme, credentials::Credentials};
///
/// let mut headers = HeaderMap::new();
/// headers.insert("authorization", "ApiKey k-123".parse().unwrap());
///
/// let credentials = Credentials::from_headers(&headers)?.unwrap();
/// assert!(credentials.is_for(Scheme::new("apikey")));
/// assert_eq!(credentials.value(), b"k-123");
/// assert_eq!(format!("{credentials:?}"), r#"Credentials { scheme: "ApiKey", .. }"#);
/// # Ok::<(), tower_auth::credentials::CredentialsError>(())
/// ```
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    scheme: &'a str,
    value: &'a [u8],
}

impl<'a> Credentials<'a> {
    /// Takes the `Authorization` field apart. `None` where there is none.
    ///
    /// # Errors
    ///
    /// If the field is there more than once (RFC 9110 §5.3), or starts with no scheme.
    pub fn from_headers(headers: &'a HeaderMap) -> Result<Option<Self>, CredentialsError> {
        let mut lines = headers.get_all(AUTHORIZATION).iter();
        let Some(line) = lines.next() else { return Ok(None) };
        if lines.next().is_some() {
            return Err(CredentialsError::Repeated);
        }
        Self::parse(line.as_bytes()).map(Some)
    }

    fn parse(line: &'a [u8]) -> Result<Self, CredentialsError> {
        // HTTP/1 parsers strip the white space around a field's value; HTTP/2 ones may not.
        let line = line.trim_ascii();
        let end = line.iter().position(|byte| !is_token_byte(*byte)).unwrap_or(line.len());
        let (scheme, rest) = line.split_at_checked(end).ok_or(CredentialsError::NoScheme)?;
        // `1*SP`, and no other white space, is between the two.
        let value = match rest.iter().position(|byte| *byte != b' ') {
            None => &[],
            Some(0) => return Err(CredentialsError::NoScheme),
            Some(start) => rest.get(start..).unwrap_or_default(),
        };
        match std::str::from_utf8(scheme) {
            Ok(scheme) if !scheme.is_empty() => Ok(Self { scheme, value }),
            _ => Err(CredentialsError::NoScheme),
        }
    }

    /// Whether they are for this scheme.
    #[must_use]
    #[inline]
    pub fn is_for(&self, scheme: Scheme) -> bool {
        scheme.matches(self.scheme)
    }

    /// What follows, where they are for this scheme.
    #[cfg(feature = "jwt")]
    pub(crate) fn of(self, scheme: Scheme) -> Option<&'a [u8]> {
        self.is_for(scheme).then_some(self.value)
    }

    /// What follows the scheme: a secret, unverified and of any bytes.
    #[must_use]
    pub fn value(&self) -> &'a [u8] {
        self.value
    }
}

/// The scheme alone: what follows is secret. Where nothing follows, what is taken for a scheme may be a
/// token whose scheme was forgotten.
impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.value.is_empty() { "[redacted]" } else { self.scheme };
        f.debug_struct("Credentials").field("scheme", &scheme).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[u8]) -> Result<(&str, &[u8]), CredentialsError> {
        Credentials::parse(line).map(|credentials| (credentials.scheme, credentials.value))
    }

    #[test]
    fn a_scheme_and_what_follows() {
        assert_eq!(parse(b"Bearer abc"), Ok(("Bearer", &b"abc"[..])));
        assert_eq!(parse(b"  Basic   abc  "), Ok(("Basic", &b"abc"[..])));
        assert_eq!(parse(b"Bearer"), Ok(("Bearer", &b""[..])));
        assert_eq!(parse(b"Bearer \tabc"), Ok(("Bearer", &b"\tabc"[..])));
        assert_eq!(parse(b"Bearer a b"), Ok(("Bearer", &b"a b"[..])));
        assert_eq!(parse(b"Bearer \xff"), Ok(("Bearer", &b"\xff"[..])));
    }

    #[test]
    fn a_token_without_its_scheme_is_not_shown() {
        let credentials = Credentials::parse(b"eyJhbGciOiJub25lIn0.e30.").unwrap();
        assert!(!format!("{credentials:?}").contains("eyJ"));
    }

    #[test]
    fn no_scheme_no_credentials() {
        for odd in
            [&b""[..], b" ", b"Bearer\tabc", b"=abc", b"\xff\xfe", b"a=b", b",", b"\"Bearer\" x"]
        {
            assert_eq!(parse(odd), Err(CredentialsError::NoScheme), "{odd:?}");
        }
    }
}
