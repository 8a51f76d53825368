use http::request::Parts;

use crate::{
    credentials::{Credentials, CredentialsError},
    header::{Scheme, grammar::is_b64token_byte},
    rejection::Rejection,
};

/// The default size limit of a token in bytes.
pub(crate) const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Parses the value after `Bearer` (RFC 6750 §2.1): one `b64token` and nothing else.
///
/// An empty value, or data after the token, is a malformed request (`invalid_request`). A value
/// with other invalid characters is returned, so that token validation rejects it
/// (`invalid_token`).
pub(crate) fn token(value: &[u8], max_bytes: usize) -> Result<&[u8], CredentialsError> {
    within_bounds(value, max_bytes).and_then(single_token)
}

/// Rejects values that are empty or longer than `max_bytes`.
pub(crate) fn within_bounds(value: &[u8], max_bytes: usize) -> Result<&[u8], CredentialsError> {
    match value {
        [] => Err(CredentialsError::Malformed),
        value if value.len() > max_bytes => Err(CredentialsError::TooLarge),
        value => Ok(value),
    }
}

/// Rejects values whose first invalid character is a space, a tab or a comma.
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

/// Returns the bearer token of a request, or `None` if it has no bearer credentials.
pub(crate) fn token_from_head(head: &Parts, max_bytes: usize) -> Option<Result<&[u8], Rejection>> {
    let value = value_from_head(head)?;
    Some(value.and_then(|value| token(value, max_bytes).map_err(Into::into)))
}

/// Like [`token_from_head`], without checks of the value.
pub(crate) fn value_from_head(head: &Parts) -> Option<Result<&[u8], Rejection>> {
    match Credentials::from_headers(&head.headers) {
        Ok(credentials) => credentials?.value_for(Scheme::BEARER).map(Ok),
        Err(error) => Some(Err(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_with_more_than_one_token_is_malformed() {
        assert_eq!(token(b"a.b-c_d", 16), Ok(&b"a.b-c_d"[..]));
        assert_eq!(token(b"", 16), Err(CredentialsError::Malformed));
        assert_eq!(token(b"a b", 16), Err(CredentialsError::Malformed));
        assert_eq!(token(b"a,b", 16), Err(CredentialsError::Malformed));
        assert_eq!(token(b"a\"b c", 16), Ok(&b"a\"b c"[..]));
        assert_eq!(token(b"abc", 2), Err(CredentialsError::TooLarge));
    }
}
