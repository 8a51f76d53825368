//! The header with which a proxy sends the certificate of its client.

use std::{fmt, sync::Arc};

use http::{HeaderName, request::Parts};

use super::{
    certificate_error::CertificateError, client_cert, client_certificate::MAX_CERTIFICATE_BYTES,
    envoy_xfcc, escaped_pem, peer_certificate::PeerCertificate,
};
use crate::{
    config_error::ConfigError,
    one_or_many::OneOrMany,
    transport::{
        networks::Networks,
        peer::{PeerFn, peer_address},
    },
};

/// The size limit of a header value in bytes. The largest certificate fits in each format, because
/// few of its characters are percent-encoded.
const MAX_VALUE_BYTES: usize = 2 * MAX_CERTIFICATE_BYTES;

#[derive(Clone)]
pub(super) struct CertificateHeader {
    name: HeaderName,
    format: Format,
    proxies: Networks,
    pub(super) peer: Option<Arc<PeerFn>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Format {
    /// RFC 9440.
    ClientCert,
    EnvoyXfcc,
    EscapedPem,
}

impl CertificateHeader {
    pub(super) fn new<K>(
        name: HeaderName,
        format: Format,
        proxies: impl OneOrMany<str, K>,
    ) -> Result<Self, ConfigError> {
        Ok(Self { name, format, proxies: Networks::new(proxies)?, peer: None })
    }

    pub(super) fn find(&self, head: &Parts) -> Result<Option<PeerCertificate>, CertificateError> {
        let mut values = head.headers.get_all(&self.name).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if !self.is_from_proxy(head) {
            return Ok(None);
        }
        if values.next().is_some() {
            return Err(CertificateError::Repeated);
        }
        let value = value.as_bytes().trim_ascii();
        if value.is_empty() {
            return Ok(None);
        }
        if value.len() > MAX_VALUE_BYTES {
            return Err(CertificateError::HeaderTooLong);
        }
        let der = match self.format {
            Format::ClientCert => client_cert::read(value),
            Format::EnvoyXfcc => envoy_xfcc::read(value),
            Format::EscapedPem => escaped_pem::read(value).map(Some),
        };
        Ok(der?.map(PeerCertificate::from_der))
    }

    fn is_from_proxy(&self, head: &Parts) -> bool {
        let peer = match &self.peer {
            Some(address) => address(head),
            None => peer_address(head),
        };
        peer.is_some_and(|address| self.proxies.contains(address.to_canonical()))
    }

    pub(super) fn conceal(&self, head: &mut Parts) {
        head.headers.remove(&self.name);
        if let Format::ClientCert = self.format {
            head.headers.remove("client-cert-chain");
        }
    }
}

impl fmt::Debug for CertificateHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateHeader")
            .field("name", &self.name)
            .field("format", &self.format)
            .field("proxies", &self.proxies)
            .finish_non_exhaustive()
    }
}
