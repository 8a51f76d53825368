//! Character sets and tokens that the RFCs define.

use crate::config_error::ConfigError;

/// Returns whether `bytes` are a token (RFC 9110 §5.6.2).
#[allow(clippy::indexing_slicing)] // a const fn cannot iterate
pub(crate) const fn is_token(bytes: &[u8]) -> bool {
    let mut index = 0;
    while index < bytes.len() {
        if !is_token_byte(bytes[index]) {
            return false;
        }
        index += 1;
    }
    !bytes.is_empty()
}

#[allow(clippy::indexing_slicing)] // the table has an entry for each byte
#[inline]
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    TOKEN_BYTES[byte as usize]
}

/// A lookup is faster than comparisons, for the short names that are parsed for each request.
const TOKEN_BYTES: [bool; 256] = token_bytes();

#[allow(clippy::indexing_slicing)] // a const fn cannot iterate
const fn token_bytes() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    loop {
        table[byte as usize] = matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_'
                | b'`' | b'|' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z'
        );
        if byte == u8::MAX {
            return table;
        }
        byte += 1;
    }
}

/// Checks that each item is a scope token.
pub(crate) fn check_scopes(scopes: &[Box<str>]) -> Result<(), ConfigError> {
    match scopes.iter().find(|scope| !is_scope_token(scope)) {
        Some(scope) => Err(ConfigError::invalid(format!(
            "invalid scope {scope:?}: a scope must be printable ASCII without spaces, quotes and \
             backslashes (RFC 6749 §3.3); pass each scope as a separate item"
        ))),
        None => Ok(()),
    }
}

/// Returns whether `scope` is a scope token (RFC 6749 §3.3).
pub(crate) fn is_scope_token(scope: &str) -> bool {
    !scope.is_empty() && scope.bytes().all(|byte| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~'))
}

/// Returns whether `byte` may occur in a b64token (RFC 6750 §2.1).
#[cfg(any(feature = "client", feature = "jwt"))]
pub(crate) fn is_b64token_byte(byte: u8) -> bool {
    // Without branches, so that a loop over many bytes can be vectorized. `-` to `9` are
    // `-./0123456789`.
    let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    letter
        | (byte.wrapping_sub(b'-') < 13)
        | (byte == b'_')
        | (byte == b'~')
        | (byte == b'+')
        | (byte == b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_or_delimited_text_is_not_a_token() {
        assert!(is_token(b"Bearer") && is_token(b"x-api.key"));
        assert!(
            !is_token(b"")
                && !is_token(b"two words")
                && !is_token(b"a=b")
                && !is_token("é".as_bytes())
        );
    }

    #[cfg(any(feature = "client", feature = "jwt"))]
    #[test]
    fn b64token_bytes_are_alphanumeric_or_listed_punctuation() {
        for byte in 0..=u8::MAX {
            let is_punctuation = matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=');
            assert_eq!(
                is_b64token_byte(byte),
                byte.is_ascii_alphanumeric() || is_punctuation,
                "{byte}"
            );
        }
    }
}
