use base64::{Engine as _, prelude::BASE64_STANDARD};

/// How a signature is written in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureEncoding {
    /// Hexadecimal digits, in lower or upper case.
    Hex,
    /// Base64 with the standard alphabet and padding (RFC 4648 §4).
    Base64,
}

impl SignatureEncoding {
    /// Decodes `N` bytes. Returns `None` for any other text.
    pub(crate) fn decode<const N: usize>(self, text: &str) -> Option<[u8; N]> {
        match self {
            Self::Hex => decode_hex(text.as_bytes()),
            // Longer text is not decoded.
            Self::Base64 if text.len() == N.div_ceil(3) * 4 => {
                BASE64_STANDARD.decode(text).ok()?.try_into().ok()
            }
            Self::Base64 => None,
        }
    }

    #[cfg(any(test, feature = "client"))]
    pub(crate) fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            Self::Base64 => BASE64_STANDARD.encode(bytes),
        }
    }
}

fn decode_hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    if pairs.len() != N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let digit = |digit: u8| u8::try_from(char::from(digit).to_digit(16)?).ok();
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}
