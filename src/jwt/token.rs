//! The compact serialisation of a JWS (RFC 7515 §7.1).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::TokenError;

/// The three parts of a token, still encoded.
#[derive(Clone, Copy)]
pub(super) struct Compact<'a> {
    pub(super) header: &'a [u8],
    pub(super) payload: &'a [u8],
    pub(super) signature: &'a [u8],
    /// Header, dot and payload, as they were sent.
    pub(super) signed: &'a [u8],
}

impl<'a> Compact<'a> {
    /// Exactly three parts. A JWE has five and is none (RFC 7516 §9).
    pub(super) fn parse(token: &'a [u8]) -> Result<Self, TokenError> {
        let parts = || {
            let (signed, signature) = split_at_last_dot(token)?;
            let (header, payload) = split_at_last_dot(signed)?;
            (!header.contains(&b'.')).then_some(Self { header, payload, signature, signed })
        };
        parts().ok_or(TokenError::NotCompactJws)
    }
}

fn split_at_last_dot(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let dot = text.iter().rposition(|byte| *byte == b'.')?;
    Some((text.get(..dot)?, text.get(dot + 1..)?))
}

/// Decodes base64url without padding. Characters outside of the alphabet, padding, and bits that no
/// byte needs are refused, so that one value has one spelling.
pub(super) fn decode(part: &[u8]) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::NotCompactJws)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_parts() {
        let token = Compact::parse(b"h.p.s").unwrap();
        assert_eq!((token.header, token.payload), (&b"h"[..], &b"p"[..]));
        assert_eq!((token.signature, token.signed), (&b"s"[..], &b"h.p"[..]));
        for odd in ["", ".", "a.b", "a.b.c.d", "a.b.c.d.e"] {
            assert!(Compact::parse(odd.as_bytes()).is_err(), "{odd}");
        }
        assert!(Compact::parse(b"..").is_ok(), "empty parts are refused by what reads them");
    }

    #[test]
    fn one_value_has_one_spelling() {
        assert_eq!(decode(b"YQ").unwrap(), b"a");
        for odd in ["YR", "YQ==", "YQ=", "Y", "Y Q", "YQ\n", "+A", "/w"] {
            assert!(decode(odd.as_bytes()).is_err(), "{odd:?}");
        }
    }
}
