//! The compact serialisation of a JWS (RFC 7515 §7.1).

use base64::Engine;
use memchr::{memchr, memrchr};

use crate::jwt::error::TokenError;

/// The three parts of a token, in base64url.
#[derive(Clone, Copy)]
pub(crate) struct Compact<'a> {
    pub(crate) header: &'a [u8],
    pub(crate) payload: &'a [u8],
    pub(crate) signature: &'a [u8],
    /// Header, dot and payload, as sent. The signature covers these bytes.
    pub(crate) signed: &'a [u8],
}

impl<'a> Compact<'a> {
    /// Splits a token into exactly three parts. A JWE has five parts (RFC 7516 §9) and is rejected.
    pub(crate) fn parse(token: &'a [u8]) -> Result<Self, TokenError> {
        let parts = || {
            let (signed, signature) = split_at_last_dot(token)?;
            let (header, payload) = split_at_last_dot(signed)?;
            memchr(b'.', header).is_none().then_some(Self { header, payload, signature, signed })
        };
        parts().ok_or(TokenError::NotCompactJws)
    }
}

fn split_at_last_dot(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let dot = memrchr(b'.', text)?;
    Some((text.get(..dot)?, text.get(dot + 1..)?))
}

/// Decodes base64url without padding.
///
/// Rejects characters outside the alphabet, padding and non-zero trailing bits, so each value has
/// exactly one encoding.
pub(crate) fn decode<'b>(part: &[u8], buffer: &'b mut Buffer) -> Result<&'b [u8], TokenError> {
    let bytes = buffer.bytes_mut(decoded_length(part));
    match base64url().decode_slice(part, bytes) {
        Ok(written) if written == bytes.len() => Ok(bytes),
        _ => Err(TokenError::NotCompactJws),
    }
}

/// Decodes a payload, which must be UTF-8 because it is JSON.
pub(crate) fn decode_payload<'b>(
    part: &[u8],
    buffer: &'b mut Buffer,
) -> Result<&'b str, TokenError> {
    std::str::from_utf8(decode(part, buffer)?).map_err(|_| TokenError::MalformedClaims)
}

#[cfg(any(target_arch = "x86_64", all(target_arch = "aarch64", target_feature = "neon")))]
fn base64url() -> &'static impl Engine {
    use base64::engine::{general_purpose::NO_PAD, simd::Simd};

    /// Detects the available CPU instructions once.
    static SIMD: std::sync::LazyLock<Simd> = std::sync::LazyLock::new(|| Simd::url_safe(NO_PAD));
    &*SIMD
}

/// The fallback for targets on which base64 has no `simd` module.
#[cfg(not(any(target_arch = "x86_64", all(target_arch = "aarch64", target_feature = "neon"))))]
fn base64url() -> &'static impl Engine {
    &base64::engine::general_purpose::URL_SAFE_NO_PAD
}

/// The space into which a part is decoded.
///
/// Headers, most claims, and signatures up to those of RSA-4096 fit on the stack.
pub(crate) struct Buffer {
    stack: [u8; 512],
    heap: Vec<u8>,
}

impl Buffer {
    pub(crate) fn new() -> Self {
        Self { stack: [0; 512], heap: Vec::new() }
    }

    fn bytes_mut(&mut self, length: usize) -> &mut [u8] {
        match self.stack.get_mut(..length) {
            Some(stack) => stack,
            None => {
                self.heap.resize(length, 0);
                &mut self.heap
            }
        }
    }
}

/// Returns the decoded length of base64url without padding: 3 bytes for 4 characters.
fn decoded_length(part: &[u8]) -> usize {
    part.len() / 4 * 3 + part.len() % 4 * 3 / 4
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    #[test]
    fn token_without_exactly_three_parts_is_rejected() {
        let token = Compact::parse(b"h.p.s").unwrap();
        assert_eq!((token.header, token.payload), (&b"h"[..], &b"p"[..]));
        assert_eq!((token.signature, token.signed), (&b"s"[..], &b"h.p"[..]));
        for invalid in ["", ".", "a.b", "a.b.c.d", "a.b.c.d.e"] {
            assert!(Compact::parse(invalid.as_bytes()).is_err(), "{invalid}");
        }
        assert!(Compact::parse(b"..").is_ok(), "empty parts are rejected later");
    }

    #[test]
    fn non_canonical_base64url_is_rejected() {
        let decode = |text: &[u8]| decode(text, &mut Buffer::new()).map(<[u8]>::to_vec);
        assert_eq!(decode(b"YQ").unwrap(), b"a");
        for length in 0..700 {
            let bytes = vec![7; length];
            let encoded = URL_SAFE_NO_PAD.encode(&bytes);
            assert_eq!(decode(encoded.as_bytes()).unwrap(), bytes);
            assert_eq!(
                decode_payload(encoded.as_bytes(), &mut Buffer::new()).unwrap().as_bytes(),
                bytes
            );
            for invalid in [b'+', b'/', b'=', b' ', b'.', b'~', 0x80, 0] {
                let mut text = encoded.clone().into_bytes();
                if let Some(at) = text.get_mut(length / 2) {
                    *at = invalid;
                    assert!(decode(&text).is_err(), "{invalid} in {length}");
                }
            }
        }
        for invalid in ["YR", "YQ==", "YQ=", "Y", "Y Q", "YQ\n", "+A", "/w"] {
            assert!(decode(invalid.as_bytes()).is_err(), "{invalid:?}");
            assert!(decode_payload(invalid.as_bytes(), &mut Buffer::new()).is_err(), "{invalid:?}");
        }
        let latin = URL_SAFE_NO_PAD.encode(b"{\"sub\": \"\xe9\"}");
        let mut buffer = Buffer::new();
        let latin = decode_payload(latin.as_bytes(), &mut buffer);
        assert_eq!(latin, Err(TokenError::MalformedClaims));
    }
}
