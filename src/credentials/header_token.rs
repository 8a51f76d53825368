//! Tokens in the value of a header.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{authorization::Credentials, error::CredentialsError};
use crate::header::Scheme;

/// Returns the value of `Authorization` after the scheme, or `None` if there are no credentials for
/// this scheme.
#[inline]
pub(crate) fn in_authorization(
    headers: &HeaderMap,
    scheme: Scheme,
) -> Option<Result<&[u8], CredentialsError>> {
    match Credentials::from_headers(headers) {
        Ok(credentials) => Some(Ok(credentials?.value_for(scheme)?)),
        Err(error) => Some(Err(error)),
    }
}

/// Returns the value of a header after a prefix, or `None` if no line starts with the prefix.
pub(crate) fn in_header<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
    prefix: &str,
) -> Option<Result<&'h [u8], CredentialsError>> {
    // The prefix `Token ` arrives as `Token` if nothing follows, because HTTP/1 parsers trim
    // values.
    let is_alone = |value: &[u8]| value == prefix.trim_ascii_end().as_bytes();
    let after_prefix = |line: &'h HeaderValue| {
        let value = line.as_bytes().trim_ascii();
        let rest = value.strip_prefix(prefix.as_bytes()).map(<[u8]>::trim_ascii_start);
        rest.or_else(|| is_alone(value).then_some(&[]))
    };
    let lines = headers.get_all(name);
    let token = lines.iter().find_map(after_prefix)?;
    let is_repeated = lines.iter().nth(1).is_some();
    Some(if is_repeated { Err(CredentialsError::SeveralTokens) } else { Ok(token) })
}
