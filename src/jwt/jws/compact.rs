//! The compact serialisation of a JWS (RFC 7515 §7.1).

use base64::Engine;
use memchr::{memchr, memrchr};

use crate::jwt::error::TokenError;

/// The three parts of a token, still encoded.
#[derive(Clone, Copy)]
pub(crate) struct Compact<'a> {
    pub(crate) header: &'a [u8],
    pub(crate) payload: &'a [u8],
    pub(crate) signature: &'a [u8],
    /// Header, dot and payload, as they were sent.
    pub(crate) signed: &'a [u8],
}

impl<'a> Compact<'a> {
    /// Exactly three parts. A JWE has five and is none (RFC 7516 §9).
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

/// Decodes base64url without padding. Characters outside of the alphabet, padding, and bits that no
/// byte needs are refused, so that one value has one spelling.
pub(crate) fn decode<'b>(part: &[u8], buffer: &'b mut Buffer) -> Result<&'b [u8], TokenError> {
    let bytes = buffer.space(decoded_length(part));
    match base64url().decode_slice(part, bytes) {
        Ok(written) if written == bytes.len() => Ok(bytes),
        _ => Err(TokenError::NotCompactJws),
    }
}

/// The same for a payload, which is text as all JSON is.
pub(crate) fn decode_payload<'b>(
    part: &[u8],
    buffer: &'b mut Buffer,
) -> Result<&'b str, TokenError> {
    std::str::from_utf8(decode(part, buffer)?).map_err(|_| TokenError::MalformedClaims)
}

#[cfg(any(target_arch = "x86_64", all(target_arch = "aarch64", target_feature = "neon")))]
fn base64url() -> &'static impl Engine {
    use base64::engine::{general_purpose::NO_PAD, simd::Simd};

    /// Which instructions there are is found out once.
    static VECTORS: std::sync::LazyLock<Simd> = std::sync::LazyLock::new(|| Simd::url_safe(NO_PAD));
    &*VECTORS
}

/// There is no module `simd` for other processors.
#[cfg(not(any(target_arch = "x86_64", all(target_arch = "aarch64", target_feature = "neon"))))]
fn base64url() -> &'static impl Engine {
    &base64::engine::general_purpose::URL_SAFE_NO_PAD
}

/// Where parts are decoded. Signatures are short, up to RSA's with 4096 bits, and so are headers and most claims: they stay
/// on the stack.
pub(crate) struct Buffer {
    few: [u8; 512],
    many: Vec<u8>,
}

impl Buffer {
    pub(crate) fn new() -> Self {
        Self { few: [0; 512], many: Vec::new() }
    }

    fn space(&mut self, length: usize) -> &mut [u8] {
        match self.few.get_mut(..length) {
            Some(few) => few,
            None => {
                self.many.resize(length, 0);
                &mut self.many
            }
        }
    }
}

/// Three bytes in four characters, without padding.
fn decoded_length(part: &[u8]) -> usize {
    part.len() / 4 * 3 + part.len() % 4 * 3 / 4
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

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
            for odd in [b'+', b'/', b'=', b' ', b'.', b'~', 0x80, 0] {
                let mut text = encoded.clone().into_bytes();
                if let Some(at) = text.get_mut(length / 2) {
                    *at = odd;
                    assert!(decode(&text).is_err(), "{odd} in {length}");
                }
            }
        }
        for odd in ["YR", "YQ==", "YQ=", "Y", "Y Q", "YQ\n", "+A", "/w"] {
            assert!(decode(odd.as_bytes()).is_err(), "{odd:?}");
            assert!(decode_payload(odd.as_bytes(), &mut Buffer::new()).is_err(), "{odd:?}");
        }
        let latin = URL_SAFE_NO_PAD.encode(b"{\"sub\": \"\xe9\"}");
        let mut buffer = Buffer::new();
        let latin = decode_payload(latin.as_bytes(), &mut buffer);
        assert_eq!(latin, Err(TokenError::MalformedClaims));
    }
}
