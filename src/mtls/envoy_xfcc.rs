//! The header `X-Forwarded-Client-Cert` of Envoy.

use memchr::memchr2;

use super::{certificate_error::CertificateError, escaped_pem};

const ERROR: CertificateError =
    CertificateError::Unreadable("in the format of X-Forwarded-Client-Cert of Envoy");

/// Reads the `Cert` of the last element, which the nearest proxy wrote. An element without a `Cert`
/// stands for no certificate.
pub(super) fn read(value: &[u8]) -> Result<Option<Vec<u8>>, CertificateError> {
    let mut rest = value;
    loop {
        // One element.
        let mut certificate: Option<&[u8]> = None;
        let separator = loop {
            let (key, after_key) = key(rest)?;
            let (value, after_value) = value_of(after_key)?;
            if key.eq_ignore_ascii_case(b"cert") && certificate.replace(value).is_some() {
                return Err(ERROR);
            }
            rest = after_value;
            match rest.split_first() {
                Some((b';', after)) => rest = after,
                separator => break separator,
            }
        };
        rest = match separator {
            None => {
                let certificate = certificate.filter(|value| !value.is_empty());
                return certificate.map(escaped_pem::read).transpose();
            }
            Some((b',', after)) => after.trim_ascii_start(),
            Some(_) => return Err(ERROR),
        };
    }
}

/// Splits off a key and its equals sign.
fn key(text: &[u8]) -> Result<(&[u8], &[u8]), CertificateError> {
    let end = text.iter().position(|byte| !byte.is_ascii_alphanumeric()).ok_or(ERROR)?;
    match text.split_at(end) {
        (key, [b'=', rest @ ..]) if !key.is_empty() => Ok((key, rest)),
        _ => Err(ERROR),
    }
}

/// Splits off a value. In quotes, a backslash stands before a quote. It is not removed, because the
/// percent-encoded PEM has none.
fn value_of(text: &[u8]) -> Result<(&[u8], &[u8]), CertificateError> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|byte| matches!(byte, b',' | b';'));
        let (value, rest) = text.split_at(end.unwrap_or(text.len()));
        return match value.contains(&b'"') {
            true => Err(ERROR),
            false => Ok((value.trim_ascii_end(), rest)),
        };
    };
    let mut end = 0;
    loop {
        end += memchr2(b'"', b'\\', quoted.get(end..).unwrap_or_default()).ok_or(ERROR)?;
        match quoted.split_at(end) {
            (value, [b'"', after @ ..]) => return Ok((value, after.trim_ascii_start())),
            // The backslash and the byte after it.
            _ => end += 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mtls::vectors::{escaped, rfc_8705, rfc_8705_pem};

    const HASH: &str = "Hash=468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688";

    fn pem() -> String {
        escaped(&rfc_8705_pem())
    }

    /// A certificate that must not be used.
    fn other() -> String {
        escaped("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")
    }

    #[test]
    fn certificate_of_the_last_element_is_read() {
        let (pem, other) = (pem(), other());
        for value in [
            format!("Cert=\"{pem}\""),
            format!("Cert={pem}"),
            format!("cERT=\"{pem}\""),
            format!("By=http://frontend.example;{HASH};Cert=\"{pem}\";URI=http://a.example?x=y"),
            format!("{HASH};Cert=\"{pem}\";Chain=\"{pem}{other}\";Subject=\"CN=a\";URI="),
            format!("Subject=\"O=a\\\"b,c;Cert=\\\"{other}\\\"\";Cert=\"{pem}\";DNS=a;DNS=b"),
            format!("Cert=\"{other}\",Cert=\"{pem}\""),
            format!("Cert=\"{other}\" , {HASH};Cert=\"{pem}\""),
            format!("{HASH},By=;Cert=\"{pem}\""),
            format!("a=\"\\\\\",Cert=\"{pem}\""),
        ] {
            assert_eq!(read(value.as_bytes()), Ok(Some(rfc_8705())), "{value}");
        }
    }

    #[test]
    fn last_element_without_certificate_is_no_certificate() {
        let pem = pem();
        for value in [
            HASH.to_owned(),
            format!("By=spiffe://example/a;{HASH};Subject=\"\";URI=spiffe://example/b"),
            format!("Cert=\"{pem}\",{HASH}"),
            format!("{HASH};Chain=\"{pem}\""),
            format!("Subject=\"x;Cert=\\\"{pem}\\\"\""),
            "Cert=\"\"".to_owned(),
            "Cert=".to_owned(),
        ] {
            assert_eq!(read(value.as_bytes()), Ok(None), "{value}");
        }
    }

    #[test]
    fn value_with_a_syntax_error_is_unreadable() {
        let (pem, other) = (pem(), other());
        for value in [
            "Cert".to_owned(),
            "=a".to_owned(),
            "a b=c".to_owned(),
            ";".to_owned(),
            ",".to_owned(),
            pem.clone(),
            format!("Cert=\"{pem}"),
            format!("Cert=\"{pem}\\\""),
            format!("Cert=\"{pem}\"x"),
            format!("Cert=\"{pem}\"\""),
            format!("Cert={pem}\""),
            format!("Cert=\"{pem}\";"),
            format!("Cert=\"{pem}\","),
            format!(",Cert=\"{pem}\""),
            format!("{HASH},,Cert=\"{pem}\""),
            format!("garbage,Cert=\"{pem}\""),
            // Two certificates in one element.
            format!("Cert=\"{pem}\";Cert=\"{pem}\""),
            format!("Cert=;cert=\"{pem}\""),
            format!("Cert=\"{pem}{other}\""),
        ] {
            assert!(read(value.as_bytes()).is_err(), "{value}");
        }
    }

    /// With `APPEND_FORWARD`, Envoy appends its element to what a client sent.
    #[test]
    fn client_cannot_choose_the_last_element_with_an_open_quote() {
        let (pem, other) = (pem(), other());
        let appended = format!("By=spiffe://example/a;{HASH};Cert=\"{pem}\"");
        for sent in [
            format!("Cert=\"{other}\";a=\""),
            format!("Cert=\"{other}\";a=\"\\"),
            format!("Cert=\"{other}\";a=b\""),
            "a=\"".to_owned(),
        ] {
            let value = format!("{sent},{appended}");
            assert!(read(value.as_bytes()).is_err(), "{value}");
        }
        let value = format!("Cert=\"{other}\";a=\",{appended}\",{appended}");
        assert!(read(value.as_bytes()).is_err(), "{value}");
        let value = format!("Cert=\"{other}\";a=\"\\\\\",{appended}");
        assert_eq!(read(value.as_bytes()), Ok(Some(rfc_8705())));
    }
}
