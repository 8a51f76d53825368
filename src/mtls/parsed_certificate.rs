use std::time::{SystemTime, UNIX_EPOCH};

use x509_cert::{
    Certificate,
    der::{
        Decode,
        asn1::{BitStringRef, ObjectIdentifier},
    },
    ext::{
        Extension,
        pkix::{BasicConstraints, ExtendedKeyUsage},
    },
    time::Time,
};

use super::{
    certificate_fault::CertificateFault, client_certificate::MAX_CERTIFICATE_BYTES,
    subject_names::SubjectNames,
};

const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const ANY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");
const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");

/// What identifies the caller in a certificate (RFC 5280), which is for TLS clients.
///
/// The TLS layer has verified the signature.
#[derive(Debug)]
pub(crate) struct ParsedCertificate {
    pub(crate) names: SubjectNames,
    /// Whether the key may sign certificates or CRLs.
    pub(crate) has_signing_key: bool,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
}

impl ParsedCertificate {
    pub(crate) fn parse(der: &[u8]) -> Result<Self, CertificateFault> {
        if der.len() > MAX_CERTIFICATE_BYTES {
            return Err(CertificateFault::TooLarge);
        }
        // Rejects trailing bytes.
        let certificate: Certificate = decode(der)?;
        let certificate = certificate.tbs_certificate();
        let extensions = certificate.extensions().map_or(&[][..], Vec::as_slice);
        let value = |id| extension(extensions, id);

        let constraints: Option<BasicConstraints> = decode_some(value(BASIC_CONSTRAINTS)?)?;
        if constraints.is_some_and(|constraints| constraints.ca) {
            return Err(CertificateFault::Authority);
        }
        let usages: Option<ExtendedKeyUsage> = decode_some(value(EXTENDED_KEY_USAGE)?)?;
        let is_for_clients = |usage: &ObjectIdentifier| [CLIENT_AUTH, ANY_USAGE].contains(usage);
        if usages.is_some_and(|usages| !usages.0.iter().any(is_for_clients)) {
            return Err(CertificateFault::NotForClients);
        }
        let key: Option<BitStringRef<'_>> = decode_some(value(KEY_USAGE)?)?;
        let names =
            value(SUBJECT_ALT_NAME)?.map_or(Ok(SubjectNames::default()), SubjectNames::parse);
        let validity = certificate.validity();
        Ok(Self {
            names: names?,
            has_signing_key: key.is_some_and(may_sign_certificates),
            not_before: system_time(validity.not_before)?,
            not_after: system_time(validity.not_after)?,
        })
    }

    pub(crate) fn check_validity(&self, now: SystemTime) -> Result<(), CertificateFault> {
        if now < self.not_before {
            return Err(CertificateFault::NotYetValid);
        }
        if now >= self.not_after {
            return Err(CertificateFault::Expired);
        }
        Ok(())
    }
}

/// Returns whether a key usage contains `keyCertSign` or `cRLSign` (RFC 5280 §4.2.1.3).
///
/// They count even if the bit string declares their bits as unused, which DER forbids.
fn may_sign_certificates(usage: BitStringRef<'_>) -> bool {
    const KEY_CERT_SIGN: u8 = 0x80 >> 5;
    const CRL_SIGN: u8 = 0x80 >> 6;
    let first = usage.raw_bytes().first();
    first.is_some_and(|bits| bits & (KEY_CERT_SIGN | CRL_SIGN) != 0)
}

/// Returns the value of the extension with this id, which must not occur twice (RFC 5280 §4.2).
fn extension(
    extensions: &[Extension],
    id: ObjectIdentifier,
) -> Result<Option<&[u8]>, CertificateFault> {
    let mut found = extensions.iter().filter(|extension| extension.extn_id == id);
    let value = found.next().map(|extension| extension.extn_value.as_bytes());
    match found.next() {
        Some(_) => Err(CertificateFault::RepeatedExtension),
        None => Ok(value),
    }
}

fn decode<'a, T: Decode<'a>>(der: &'a [u8]) -> Result<T, CertificateFault> {
    T::from_der(der).map_err(|_| CertificateFault::Malformed)
}

fn decode_some<'a, T: Decode<'a>>(der: Option<&'a [u8]>) -> Result<Option<T>, CertificateFault> {
    der.map(decode).transpose()
}

fn system_time(time: Time) -> Result<SystemTime, CertificateFault> {
    UNIX_EPOCH.checked_add(time.to_unix_duration()).ok_or(CertificateFault::Malformed)
}

#[cfg(test)]
#[path = "parsed_certificate_tests.rs"]
mod tests;
