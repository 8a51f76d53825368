use std::fmt;

use http::{HeaderMap, header::AUTHORIZATION};

use super::error::CredentialsError;
#[cfg(feature = "jwt")]
use crate::header::grammar::is_b64token_byte;
use crate::{
    header::{Scheme, grammar::is_token_byte},
    rejection::{Rejection, RejectionKind},
};

/// The `Authorization` header of a request: a scheme and a value (RFC 9110 §11.4).
///
/// The built-in schemes use this parser, and custom schemes can use it as well. The credentials are
/// unverified.
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
    /// A token (RFC 9110 §5.6.2), so it is ASCII.
    scheme: &'a [u8],
    value: &'a [u8],
}

impl<'a> Credentials<'a> {
    /// Parses the `Authorization` header. Returns `None` if there is none.
    ///
    /// # Errors
    ///
    /// Returns an error if there is more than one `Authorization` header (RFC 9110 §5.3), or if it
    /// does not start with a scheme.
    #[inline]
    pub fn from_headers(headers: &'a HeaderMap) -> Result<Option<Self>, CredentialsError> {
        let mut lines = headers.get_all(AUTHORIZATION).iter();
        let Some(line) = lines.next() else { return Ok(None) };
        if lines.next().is_some() {
            return Err(CredentialsError::Repeated);
        }
        Self::parse(line.as_bytes()).map(Some)
    }

    fn parse(line: &'a [u8]) -> Result<Self, CredentialsError> {
        // HTTP/1 parsers strip whitespace around a header value; HTTP/2 parsers may not.
        let line = line.trim_ascii();
        let end = line.iter().position(|byte| !is_token_byte(*byte)).unwrap_or(line.len());
        let (scheme, rest) = line.split_at_checked(end).ok_or(CredentialsError::NoScheme)?;
        // The separator is `1*SP`. Other whitespace is not allowed.
        let value = match rest.iter().position(|byte| *byte != b' ') {
            None => &[],
            Some(0) => return Err(CredentialsError::NoScheme),
            Some(start) => rest.get(start..).unwrap_or_default(),
        };
        if scheme.is_empty() { Err(CredentialsError::NoScheme) } else { Ok(Self { scheme, value }) }
    }

    /// Returns whether the credentials are for `scheme`.
    #[must_use]
    #[inline]
    pub fn is_for(&self, scheme: Scheme) -> bool {
        scheme.matches_bytes(self.scheme)
    }

    /// Returns the value if the credentials are for `scheme`.
    #[cfg(feature = "jwt")]
    #[inline]
    pub(crate) fn value_for(self, scheme: Scheme) -> Option<&'a [u8]> {
        self.is_for(scheme).then_some(self.value)
    }

    /// Returns what follows the scheme. It is a secret, and may contain any bytes.
    #[must_use]
    pub fn value(&self) -> &'a [u8] {
        self.value
    }
}

/// Rejects values that are empty or longer than `max_bytes`.
#[cfg(feature = "jwt")]
#[inline]
pub(crate) fn within_bounds(value: &[u8], max_bytes: usize) -> Result<&[u8], CredentialsError> {
    match value {
        [] => Err(CredentialsError::Malformed),
        value if value.len() > max_bytes => Err(CredentialsError::TooLarge),
        value => Ok(value),
    }
}

/// Rejects values whose first invalid character is a space, a tab or a comma: they are not one
/// `b64token` (RFC 6750 §2.1), which is a malformed request. A value with other invalid characters
/// is an invalid token.
#[cfg(feature = "jwt")]
pub(crate) fn single_token(value: &[u8]) -> Result<&[u8], CredentialsError> {
    // No early exit, so that the compiler can vectorize the loop.
    if value.iter().fold(true, |valid, byte| valid & is_b64token_byte(*byte)) {
        return Ok(value);
    }
    match value.iter().find(|byte| !is_b64token_byte(**byte)) {
        Some(b' ' | b'\t' | b',') => Err(CredentialsError::Malformed),
        _ => Ok(value),
    }
}

/// Rejects a request in which no scheme has found credentials.
///
/// If the request has an `Authorization` header, the reason says so, because some clients send a
/// token without `Bearer`. The reason does not contain the header, which may be such a token.
pub(crate) fn missing_credentials(headers: &HeaderMap) -> Rejection {
    let rejection = Rejection::new(RejectionKind::MissingCredentials);
    if !headers.contains_key(AUTHORIZATION) {
        return rejection;
    }
    rejection.because(
        "no credentials, although there is an Authorization header: check its scheme, and where the \
         service reads tokens",
    )
}

/// Prints only the scheme, because the value is secret.
///
/// If there is no value, the scheme is redacted as well: it may be a token that was sent without a
/// scheme.
impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.value.is_empty() { b"[redacted]" } else { self.scheme };
        let scheme = String::from_utf8_lossy(scheme);
        f.debug_struct("Credentials").field("scheme", &scheme).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[u8]) -> Result<(&str, &[u8]), CredentialsError> {
        let credentials = Credentials::parse(line)?;
        Ok((std::str::from_utf8(credentials.scheme).unwrap(), credentials.value))
    }

    #[test]
    fn scheme_and_value_are_separated_by_spaces() {
        assert_eq!(parse(b"Bearer abc"), Ok(("Bearer", &b"abc"[..])));
        assert_eq!(parse(b"  Basic   abc  "), Ok(("Basic", &b"abc"[..])));
        assert_eq!(parse(b"Bearer"), Ok(("Bearer", &b""[..])));
        assert_eq!(parse(b"Bearer \tabc"), Ok(("Bearer", &b"\tabc"[..])));
        assert_eq!(parse(b"Bearer a b"), Ok(("Bearer", &b"a b"[..])));
        assert_eq!(parse(b"Bearer \xff"), Ok(("Bearer", &b"\xff"[..])));
    }

    #[test]
    fn reason_of_missing_credentials_does_not_contain_the_header() {
        use std::error::Error as _;

        let mut headers = HeaderMap::new();
        let reason = |headers: &HeaderMap| {
            let rejection = missing_credentials(headers);
            assert_eq!(rejection.kind(), RejectionKind::MissingCredentials);
            rejection.source().map(ToString::to_string)
        };
        assert_eq!(reason(&headers), None);
        headers.insert(AUTHORIZATION, "s3cret.token".parse().unwrap());
        let reason = reason(&headers).unwrap();
        assert!(reason.contains("Authorization") && !reason.contains("s3cret"), "{reason}");
    }

    #[cfg(feature = "jwt")]
    #[test]
    fn value_with_more_than_one_token_is_malformed() {
        assert_eq!(single_token(b"a.b-c_d"), Ok(&b"a.b-c_d"[..]));
        assert_eq!(within_bounds(b"", 16), Err(CredentialsError::Malformed));
        assert_eq!(single_token(b"a b"), Err(CredentialsError::Malformed));
        assert_eq!(single_token(b"a,b"), Err(CredentialsError::Malformed));
        assert_eq!(single_token(b"a\"b c"), Ok(&b"a\"b c"[..]));
        assert_eq!(within_bounds(b"abc", 2), Err(CredentialsError::TooLarge));
        assert_eq!(within_bounds(b"abc", 3), Ok(&b"abc"[..]));
    }

    #[test]
    fn debug_redacts_token_without_scheme() {
        let credentials = Credentials::parse(b"eyJhbGciOiJub25lIn0.e30.").unwrap();
        assert!(!format!("{credentials:?}").contains("eyJ"));
    }

    #[test]
    fn header_without_scheme_is_rejected() {
        for line in
            [&b""[..], b" ", b"Bearer\tabc", b"=abc", b"\xff\xfe", b"a=b", b",", b"\"Bearer\" x"]
        {
            assert_eq!(parse(line), Err(CredentialsError::NoScheme), "{line:?}");
        }
    }
}
