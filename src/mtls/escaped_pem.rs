//! A percent-encoded PEM certificate, as in `$ssl_client_escaped_cert` of nginx.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::certificate_error::CertificateError;

/// Reads the DER of exactly one certificate, without other text.
pub(super) fn read(value: &[u8]) -> Result<Vec<u8>, CertificateError> {
    const ERROR: CertificateError =
        CertificateError::Unreadable("one certificate in percent-encoded PEM");
    let pem = percent_decoded(value).ok_or(ERROR)?;
    let body = pem.trim_ascii();
    let body = body.strip_prefix(b"-----BEGIN CERTIFICATE-----");
    let body = body.and_then(|body| body.strip_suffix(b"-----END CERTIFICATE-----"));
    let is_line_break = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let base64: Vec<u8> =
        body.ok_or(ERROR)?.iter().copied().filter(|byte| !is_line_break(byte)).collect();
    match BASE64_STANDARD.decode(base64) {
        Ok(der) if !der.is_empty() => Ok(der),
        _ => Err(ERROR),
    }
}

/// A `+` stands for itself: it is in the alphabet of base64, and some proxies do not encode it.
fn percent_decoded(value: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(value.len());
    let mut bytes = value.iter();
    let digit =
        |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => (digit(bytes.next()?)? << 4) | digit(bytes.next()?)?,
            byte => *byte,
        });
    }
    Some(decoded)
}
