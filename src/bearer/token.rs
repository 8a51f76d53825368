use http::request::Parts;

use crate::header::grammar::is_b64token_byte;
use crate::{
    credentials::{Credentials, CredentialsError},
    header::Scheme,
    rejection::Rejection,
};

/// The longest token that is read, in bytes, where nothing else is said.
pub(crate) const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Finds the token in what follows `Bearer` (RFC 6750 §2.1): `1*b64token`, and nothing behind it.
///
/// A token that is no b64token is handed on, to be refused as a token (`invalid_token`). Something
/// *behind* a token is a malformed request (`invalid_request`), as is no token at all.
pub(crate) fn token(value: &[u8], max_bytes: usize) -> Result<&[u8], CredentialsError> {
    within_bounds(value, max_bytes).and_then(one_token)
}

/// What may be a token by its length.
pub(crate) fn within_bounds(value: &[u8], max_bytes: usize) -> Result<&[u8], CredentialsError> {
    match value {
        [] => Err(CredentialsError::Malformed),
        value if value.len() > max_bytes => Err(CredentialsError::TooLarge),
        value => Ok(value),
    }
}

/// What may be a token by its bytes.
pub(crate) fn one_token(value: &[u8]) -> Result<&[u8], CredentialsError> {
    // Without a way out on the way, which lets it be done for many bytes at once.
    if value.iter().fold(true, |sound, byte| sound & is_b64token_byte(*byte)) {
        return Ok(value);
    }
    match value.iter().find(|byte| !is_b64token_byte(**byte)) {
        Some(b' ' | b'\t' | b',') => Err(CredentialsError::Malformed),
        _ => Ok(value),
    }
}

/// The bearer token in this head, if there is one.
pub(crate) fn token_in(head: &Parts, max_bytes: usize) -> Option<Result<&[u8], Rejection>> {
    let value = value_in(head)?;
    Some(value.and_then(|value| token(value, max_bytes).map_err(Into::into)))
}

/// What is in the place of one.
pub(crate) fn value_in(head: &Parts) -> Option<Result<&[u8], Rejection>> {
    match Credentials::from_headers(&head.headers) {
        Ok(sent) => sent?.value_for(Scheme::BEARER).map(Ok),
        Err(error) => Some(Err(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_and_nothing_else() {
        assert_eq!(token(b"a.b-c_d", 16), Ok(&b"a.b-c_d"[..]));
        assert_eq!(token(b"", 16), Err(CredentialsError::Malformed));
        assert_eq!(token(b"a b", 16), Err(CredentialsError::Malformed));
        assert_eq!(token(b"a,b", 16), Err(CredentialsError::Malformed));
        assert_eq!(token(b"a\"b c", 16), Ok(&b"a\"b c"[..]));
        assert_eq!(token(b"abc", 2), Err(CredentialsError::TooLarge));
    }
}
