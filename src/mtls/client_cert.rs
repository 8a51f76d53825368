//! The header `Client-Cert` (RFC 9440).

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::certificate_error::CertificateError;

/// Reads a byte sequence (RFC 8941 §3.3.5) with all padding and without parameters (RFC 9440 §2.1).
/// An empty one stands for no certificate.
pub(super) fn read(value: &[u8]) -> Result<Option<Vec<u8>>, CertificateError> {
    const ERROR: CertificateError =
        CertificateError::Unreadable("a byte sequence: base64 between colons, as in RFC 9440");
    let base64 = value.strip_prefix(b":").and_then(|value| value.strip_suffix(b":"));
    let der = BASE64_STANDARD.decode(base64.ok_or(ERROR)?).map_err(|_| ERROR)?;
    Ok((!der.is_empty()).then_some(der))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mtls::vectors::RFC_9440_VALUE;

    #[test]
    fn value_of_rfc_9440_is_read() {
        let der = read(RFC_9440_VALUE.as_bytes()).unwrap().unwrap();
        assert_eq!(BASE64_STANDARD.encode(&der), RFC_9440_VALUE.trim_matches(':'));
        assert_eq!((der.len(), &der[..4]), (428, &[0x30, 0x82, 0x01, 0xa8][..]));
    }

    #[test]
    fn empty_byte_sequence_is_no_certificate() {
        assert_eq!(read(b"::"), Ok(None));
    }

    #[test]
    fn anything_but_one_byte_sequence_is_unreadable() {
        assert_eq!(read(b":MAA=:"), Ok(Some(vec![0x30, 0])));
        for value in [
            ":",
            "MAA=",
            ":MAA=",
            "MAA=:",
            ":MAA:",
            ":MAB=:",
            ":MAA==:",
            ":MAA=:;a=1",
            ":MAA=:, :MAA=:",
            ":MAA=::MAA=:",
            ": MAA=:",
            ":MAA =:",
            ":M%41A=:",
            ":_-A=:",
            ":MAA=\u{e9}:",
            "\"MAA=\"",
            "-----BEGIN CERTIFICATE-----",
        ] {
            assert!(read(value.as_bytes()).is_err(), "{value}");
        }
    }
}
