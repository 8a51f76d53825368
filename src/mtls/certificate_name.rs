use std::sync::Arc;

use super::{
    certificate_fault::CertificateFault, parsed_certificate::ParsedCertificate, spiffe_id,
    subject_names::Entries,
};
use crate::{config_error::ConfigError, one_or_many::OneOrMany};

/// The name in a certificate that becomes the subject of the caller, for
/// [`CertificateAuthBuilder::subject_from`](super::CertificateAuthBuilder::subject_from).
///
/// It is an entry of the extension *subject alternative name* (RFC 5280 §4.2.1.6). A certificate
/// with no entry of this type, or with several, is rejected with 401: it is not clear for which
/// caller it is. Entries of other types are ignored. The common name is never read.
///
/// ```
/// use tower_auth::mtls::CertificateName;
///
/// let hosts = CertificateName::Dns;
/// let workloads = CertificateName::spiffe("prod.example");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateName {
    /// A DNS name, such as `orders.internal`.
    ///
    /// The subject is in lower case. Wildcards are rejected.
    Dns,
    /// A URI, such as `urn:example:orders`.
    ///
    /// The subject is the URI as it is. For `spiffe:` URIs, use [`spiffe`](Self::spiffe), which has
    /// more rules.
    Uri,
    /// An e-mail address.
    ///
    /// The subject is the address as it is, with upper and lower case.
    Email,
    /// A SPIFFE ID. See [`spiffe`](Self::spiffe).
    #[non_exhaustive]
    Spiffe {
        /// The trust domains.
        trust_domains: Vec<Box<str>>,
    },
}

impl CertificateName {
    const MAX_DNS_BYTES: usize = 253;
    const MAX_LABEL_BYTES: usize = 63;
    const MAX_EMAIL_BYTES: usize = 254;
    const MAX_URI_BYTES: usize = 2048;

    /// The SPIFFE ID of a workload in one of these trust domains, such as
    /// `spiffe://prod.example/orders` in `prod.example`.
    ///
    /// The certificate must be an X509-SVID for a workload: it has exactly one URI, a path, and a
    /// key that may sign neither certificates nor CRLs.
    ///
    /// # Security
    ///
    /// The TLS layer must accept a certificate only if it is signed by an authority of the trust
    /// domain of its SPIFFE ID. With one trust domain, this holds if the TLS layer trusts only the
    /// authorities of that domain. With several, an authority of one could otherwise name workloads
    /// of another.
    #[must_use]
    pub fn spiffe<K>(trust_domains: impl OneOrMany<str, K>) -> Self {
        let trust_domains = trust_domains.values().map(|domain| domain.as_ref().into()).collect();
        Self::Spiffe { trust_domains }
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let Self::Spiffe { trust_domains } = self else { return Ok(()) };
        if trust_domains.is_empty() {
            return Err(ConfigError::missing(
                "spiffe: there is no trust domain: name at least one, such as prod.example",
            ));
        }
        match trust_domains.iter().find(|domain| !spiffe_id::is_trust_domain(domain)) {
            Some(domain) => Err(ConfigError::invalid(format!(
                "spiffe: {domain:?} is not a trust domain: write it without spiffe://, a port or a \
                 path, in lower case, such as prod.example"
            ))),
            None => Ok(()),
        }
    }

    /// Returns the name in a certificate.
    pub(crate) fn find(
        &self,
        certificate: &ParsedCertificate,
    ) -> Result<Arc<str>, CertificateFault> {
        let names = &certificate.names;
        match self {
            Self::Dns => {
                let name = checked(&names.dns_names, is_dns_name)?;
                Ok(match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
                    true => name.to_ascii_lowercase().into(),
                    false => Arc::clone(name),
                })
            }
            Self::Uri => checked(&names.uris, is_uri).cloned(),
            Self::Email => checked(&names.emails, is_email).cloned(),
            Self::Spiffe { trust_domains } => {
                let id = names.uris.only()?;
                let domain = spiffe_id::trust_domain(id).ok_or(CertificateFault::InvalidName)?;
                if !trust_domains.iter().any(|accepted| **accepted == *domain) {
                    return Err(CertificateFault::OtherTrustDomain);
                }
                if certificate.has_signing_key {
                    return Err(CertificateFault::SigningKey);
                }
                Ok(Arc::clone(id))
            }
        }
    }
}

/// Returns the only entry, if it is valid.
fn checked(
    entries: &Entries,
    is_valid: impl Fn(&str) -> bool,
) -> Result<&Arc<str>, CertificateFault> {
    let name = entries.only()?;
    if is_valid(name) { Ok(name) } else { Err(CertificateFault::InvalidName) }
}

/// Returns whether this is a name of one host: labels of letters, digits, hyphens and underscores.
fn is_dns_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    name.len() <= CertificateName::MAX_DNS_BYTES
        && name.split('.').all(|label| {
            (1..=CertificateName::MAX_LABEL_BYTES).contains(&label.len())
                && label.bytes().all(is_allowed)
        })
}

/// Returns whether this has the form of an absolute URI, without spaces and control characters.
fn is_uri(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else { return false };
    let is_scheme_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    uri.len() <= CertificateName::MAX_URI_BYTES
        && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(is_scheme_byte)
        && !rest.is_empty()
        && rest.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_email(address: &str) -> bool {
    let Some((local, host)) = address.split_once('@') else { return false };
    address.len() <= CertificateName::MAX_EMAIL_BYTES
        && !local.is_empty()
        && !host.is_empty()
        && !host.contains('@')
        && address.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
#[path = "certificate_name_tests.rs"]
mod tests;
