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
    let body = body.ok_or(ERROR)?;
    let mut base64 = Vec::with_capacity(body.len());
    for line in body.split(|byte| matches!(byte, b'\r' | b'\n')) {
        base64.extend_from_slice(line);
    }
    match BASE64_STANDARD.decode(base64) {
        Ok(der) if !der.is_empty() => Ok(der),
        _ => Err(ERROR),
    }
}

/// A `+` stands for itself: it is in the alphabet of base64, and some proxies do not encode it.
fn percent_decoded(value: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut decoded = Vec::with_capacity(value.len());
    let mut parts = value.split(|byte| *byte == b'%');
    decoded.extend_from_slice(parts.next()?);
    for part in parts {
        let [first, second, rest @ ..] = part else { return None };
        decoded.push((digit(*first)? << 4) | digit(*second)?);
        decoded.extend_from_slice(rest);
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mtls::vectors::{RFC_8705_BASE64, escaped, rfc_8705, rfc_8705_pem};

    #[test]
    fn certificate_is_read_with_any_line_breaks_and_any_bytes_encoded() {
        let pem = rfc_8705_pem();
        let with_crlf = pem.replace('\n', "\r\n");
        let in_one_line = pem.replacen('\n', "", 100);
        // Some proxies do not encode `+`, `/` and `=`.
        let line_breaks_only = pem.replace('\n', "%0a");
        let all: String = pem.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let accepted = [
            escaped(&pem),
            escaped(pem.trim_end()),
            escaped(&with_crlf),
            escaped(&in_one_line),
            line_breaks_only,
            all,
        ];
        for value in accepted {
            assert_eq!(read(value.as_bytes()), Ok(rfc_8705()), "{value}");
        }
    }

    #[test]
    fn anything_but_one_certificate_is_unreadable() {
        let pem = rfc_8705_pem();
        let value = escaped(&pem);
        for unreadable in [
            // Two certificates, or other text around one.
            value.repeat(2),
            format!("{value}{}", escaped("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----")),
            format!("{value}A"),
            format!("A{value}"),
            escaped(&format!("subject=/CN=x\n{pem}")),
            // Another label, no certificate, damaged markers.
            value.replace("CERTIFICATE", "TRUSTED%20CERTIFICATE"),
            value.replace("CERTIFICATE", "PUBLIC%20KEY"),
            escaped(&pem.replacen("CERTIFICATE", "X509 CERTIFICATE", 1)),
            escaped("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"),
            escaped("-----BEGIN CERTIFICATE----------END CERTIFICATE-----"),
            escaped("-----BEGIN CERTIFICATE-----"),
            value.replace("%0A-----END", "%0A----END"),
            value.to_lowercase(),
            escaped(&format!("{RFC_8705_BASE64}\n-----END CERTIFICATE-----")),
            escaped(&format!("-----BEGIN CERTIFICATE-----\n{RFC_8705_BASE64}")),
            // Damaged base64.
            value.replace("%3D", ""),
            value.replace("MIIB", "MIIB*"),
            value.replace("MIIB", "MIIB%00"),
            value.replace("MIIB", "MIIB%20"),
            escaped(&pem.replace("MIIB", "Proc-Type: 4,ENCRYPTED\n\nMIIB")),
            // A `+` is not a space.
            value.replace("%2B", "%20").replace("%20CERT", "+CERT"),
            // Damaged percent-encoding.
            format!("{value}%"),
            format!("{value}%0"),
            value.replacen("%0A", "%0G", 1),
            value.replacen('P', "%5G", 1),
            value.replacen("BjC", "B%GAC", 1),
            value.replacen("%0A", "%+A", 1),
            value.replace('%', "%25"),
            // Other formats.
            RFC_8705_BASE64.to_owned(),
            format!(":{RFC_8705_BASE64}:"),
        ] {
            assert!(read(unreadable.as_bytes()).is_err(), "{unreadable}");
        }
    }
}
