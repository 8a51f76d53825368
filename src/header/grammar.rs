//! Character sets and tokens of the RFCs.

use crate::config_error::ConfigError;

/// Whether these bytes are a token (RFC 9110 §5.6.2).
#[allow(clippy::indexing_slicing)] // `while` is what a const fn can do, and the bound is checked
pub(crate) const fn is_token(bytes: &[u8]) -> bool {
    let mut at = 0;
    while at < bytes.len() {
        if !is_token_byte(bytes[at]) {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty()
}

pub(crate) const fn is_token_byte(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`'
            | b'|' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z'
    )
}

pub(crate) fn check_scopes(scopes: &[Box<str>]) -> Result<(), ConfigError> {
    match scopes.iter().find(|scope| !is_scope_token(scope)) {
        Some(odd) => Err(ConfigError::new(format!(
            "{odd:?} is no scope: RFC 6749 §3.3 takes printable ASCII without spaces, quotes and \
             backslashes; give each scope as an item of its own"
        ))),
        None => Ok(()),
    }
}

pub(crate) fn is_scope_token(scope: &str) -> bool {
    !scope.is_empty() && scope.bytes().all(|byte| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~'))
}

#[cfg(any(feature = "client", feature = "jwt"))]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tokens_name_a_scheme() {
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
    fn a_byte_is_one_or_not() {
        for byte in 0..=u8::MAX {
            let other = matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=');
            assert_eq!(is_b64token_byte(byte), byte.is_ascii_alphanumeric() || other, "{byte}");
        }
    }
}
