//! The header `X-Forwarded-Client-Cert` of Envoy.

use super::{certificate_error::CertificateError, escaped_pem};

const ERROR: CertificateError =
    CertificateError::Unreadable("in the format of X-Forwarded-Client-Cert of Envoy");

/// Reads the `Cert` of the last element, which the nearest proxy wrote. An element without a `Cert`
/// stands for no certificate.
pub(super) fn read(value: &[u8]) -> Result<Option<Vec<u8>>, CertificateError> {
    let mut rest = value;
    loop {
        // One element.
        let mut certificate: Option<Vec<u8>> = None;
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
                return certificate.map(|value| escaped_pem::read(&value)).transpose();
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

/// Splits off a value. In quotes, a backslash stands before a quote.
fn value_of(text: &[u8]) -> Result<(Vec<u8>, &[u8]), CertificateError> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|byte| matches!(byte, b',' | b';'));
        let (value, rest) = text.split_at(end.unwrap_or(text.len()));
        return match value.contains(&b'"') {
            true => Err(ERROR),
            false => Ok((value.trim_ascii_end().to_vec(), rest)),
        };
    };
    let mut value = Vec::new();
    let mut rest = quoted;
    loop {
        match rest {
            [b'"', after @ ..] => return Ok((value, after.trim_ascii_start())),
            [b'\\', escaped, after @ ..] => {
                value.push(*escaped);
                rest = after;
            }
            [byte, after @ ..] => {
                value.push(*byte);
                rest = after;
            }
            [] => return Err(ERROR),
        }
    }
}
