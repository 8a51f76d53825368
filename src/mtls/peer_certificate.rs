use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::certificate_caller::CertificateCaller;

/// The certificate of the other end of a TLS connection, in DER.
///
/// A server creates it once for each connection, and inserts a clone into the extensions of each
/// request, where [`ClientCertificate::connection`](super::ClientCertificate::connection) finds it.
/// Clones share the certificate and what was computed from it.
///
/// ```
/// use tower_auth::mtls::PeerCertificate;
///
/// # let (certificates, mut request) = ([vec![0x30, 0]], http::Request::new(()));
/// // The certificates that the client sent, the one of the client first:
/// let certificate = certificates.first().map(|der| PeerCertificate::from_der(der.as_slice()));
/// if let Some(certificate) = &certificate {
///     request.extensions_mut().insert(certificate.clone());
/// }
/// ```
///
/// # Security
///
/// The TLS layer must have validated the chain of the certificate, and that the client has the
/// private key. This type checks nothing.
#[derive(Clone)]
pub struct PeerCertificate(Arc<Shared>);

struct Shared {
    der: Box<[u8]>,
    thumbprint: OnceLock<Box<str>>,
    caller: CertificateCaller,
}

impl PeerCertificate {
    /// Creates a value from a certificate in DER.
    ///
    /// The bytes are not parsed. The authenticators and bindings of this crate reject requests
    /// with a certificate above 64 KiB.
    #[must_use]
    pub fn from_der(der: impl Into<Vec<u8>>) -> Self {
        Self::new(der.into().into_boxed_slice())
    }

    fn new(der: Box<[u8]>) -> Self {
        let (thumbprint, caller) = Default::default();
        Self(Arc::new(Shared { der, thumbprint, caller }))
    }

    /// Returns the certificate in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// Returns what all requests with this certificate share.
    pub(super) fn caller(&self) -> &CertificateCaller {
        &self.0.caller
    }

    /// Returns the SHA-256 hash of the DER in base64url without padding: the `x5t#S256` of RFC 8705
    /// §3.1.
    ///
    /// It is computed once for all clones.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        let compute = || URL_SAFE_NO_PAD.encode(digest(&SHA256, self.der())).into_boxed_str();
        self.0.thumbprint.get_or_init(compute)
    }
}

/// From DER, as [`PeerCertificate::from_der`].
impl From<Vec<u8>> for PeerCertificate {
    fn from(der: Vec<u8>) -> Self {
        Self::from_der(der)
    }
}

/// From DER, as [`PeerCertificate::from_der`].
impl From<&[u8]> for PeerCertificate {
    fn from(der: &[u8]) -> Self {
        Self::new(der.into())
    }
}

/// From DER, as [`PeerCertificate::from_der`].
impl From<Box<[u8]>> for PeerCertificate {
    fn from(der: Box<[u8]>) -> Self {
        Self::new(der)
    }
}

/// Returns the certificate in DER.
impl AsRef<[u8]> for PeerCertificate {
    fn as_ref(&self) -> &[u8] {
        self.der()
    }
}

/// Certificates are equal if their bytes are.
impl PartialEq for PeerCertificate {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.der() == other.der()
    }
}

impl Eq for PeerCertificate {}

/// Prints the thumbprint only.
impl fmt::Debug for PeerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerCertificate({})", self.thumbprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mtls::vectors::{RFC_8705_THUMBPRINT, rfc_8705};

    #[test]
    fn thumbprint_is_that_of_rfc_8705_and_shared_by_clones() {
        let certificate = PeerCertificate::from_der(rfc_8705());
        let clone = certificate.clone();
        assert_eq!(clone.thumbprint(), RFC_8705_THUMBPRINT);
        assert!(std::ptr::eq(certificate.thumbprint(), clone.thumbprint()));
        assert_eq!(format!("{certificate:?}"), format!("PeerCertificate({RFC_8705_THUMBPRINT})"));
    }

    #[test]
    fn certificates_are_equal_if_their_bytes_are() {
        let certificate = PeerCertificate::from_der(rfc_8705());
        let (copy, slice) = (certificate.clone(), PeerCertificate::from(&*rfc_8705()));
        assert!(certificate == copy && certificate == slice);
        let boxed = PeerCertificate::from(Box::from(certificate.der()));
        assert!(boxed == PeerCertificate::from(rfc_8705()) && boxed.as_ref() == rfc_8705());
        assert_ne!(certificate, PeerCertificate::from_der(*b"other"));
    }
}
