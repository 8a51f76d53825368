//! The header `Client-Cert` (RFC 9440).

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::certificate_error::CertificateError;

/// Reads a byte sequence (RFC 8941 §3.3.5) with all padding and without parameters, as RFC 9440 §2.1
/// requires. An empty one stands for no certificate.
pub(super) fn read(value: &[u8]) -> Result<Option<Vec<u8>>, CertificateError> {
    const ERROR: CertificateError =
        CertificateError::Unreadable("a byte sequence: base64 between colons, as in RFC 9440");
    let base64 = value.strip_prefix(b":").and_then(|value| value.strip_suffix(b":"));
    let der = BASE64_STANDARD.decode(base64.ok_or(ERROR)?).map_err(|_| ERROR)?;
    Ok((!der.is_empty()).then_some(der))
}
