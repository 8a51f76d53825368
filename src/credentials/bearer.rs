#[cfg(feature = "jwt")]
use super::CredentialsError;

/// Finds the token in what follows `Bearer` (RFC 6750 §2.1): `1*b64token`, and nothing behind it.
///
/// A token that is no b64token is handed on, to be refused as a token (`invalid_token`). Something
/// *behind* a token is a malformed request (`invalid_request`), as is no token at all.
#[cfg(feature = "jwt")]
pub(crate) fn token(value: &[u8], max_bytes: usize) -> Result<&[u8], CredentialsError> {
    within_bounds(value, max_bytes).and_then(one_token)
}

/// What may be a token by its length.
#[cfg(feature = "jwt")]
pub(crate) fn within_bounds(value: &[u8], max_bytes: usize) -> Result<&[u8], CredentialsError> {
    match value {
        [] => Err(CredentialsError::Malformed),
        value if value.len() > max_bytes => Err(CredentialsError::TooLarge),
        value => Ok(value),
    }
}

/// What may be a token by its bytes.
#[cfg(feature = "jwt")]
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

pub(crate) fn is_b64token_byte(byte: u8) -> bool {
    // `-` to `9` are `-./0123456789`. In sums and not in choices, for the same reason.
    let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    letter
        | (byte.wrapping_sub(b'-') < 13)
        | (byte == b'_')
        | (byte == b'~')
        | (byte == b'+')
        | (byte == b'=')
}

#[cfg(all(test, feature = "jwt"))]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_one_or_not() {
        for byte in 0..=u8::MAX {
            let other = matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=');
            assert_eq!(is_b64token_byte(byte), byte.is_ascii_alphanumeric() || other, "{byte}");
        }
    }

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
