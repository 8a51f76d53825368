use std::fmt;

use http::{Method, Uri, request::Parts};

#[cfg(feature = "dpop")]
use crate::dpop::sent::Sent;
use crate::header::Scheme;
#[cfg(feature = "mtls")]
use crate::{mtls::peer_certificate::PeerCertificate as Certificate, rejection::Rejection};

/// A certificate in DER.
#[cfg(not(feature = "mtls"))]
type Certificate = Box<[u8]>;

/// What a request offers as a proof that its caller has a key.
///
/// A [`Binding`](super::Binding) creates it from the head of the request:
///
/// ```
/// use http::request::Parts;
/// use tower_auth::binding::Evidence;
///
/// fn evidence(head: &Parts) -> Option<Evidence> {
///     let proof = head.headers.get("dpop")?.to_str().ok()?;
///     Some(Evidence::of_request(head).with_proof(proof))
/// }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Evidence {
    method: Method,
    target: Uri,
    scheme: Option<Scheme>,
    proof: Option<Box<str>>,
    #[cfg(feature = "dpop")]
    dpop: Option<Box<Sent>>,
    certificate: Option<Certificate>,
    /// Set if the request has a certificate that cannot be read.
    #[cfg(feature = "mtls")]
    rejection: Option<Rejection>,
}

impl Evidence {
    /// Creates evidence with the method and the target of a request.
    pub fn of_request(head: &Parts) -> Self {
        Self {
            method: head.method.clone(),
            target: head.uri.clone(),
            scheme: None,
            proof: None,
            certificate: None,
            #[cfg(feature = "dpop")]
            dpop: None,
            #[cfg(feature = "mtls")]
            rejection: None,
        }
    }

    /// Sets the proof, for example the value of a `DPoP` header.
    pub fn with_proof(self, proof: impl Into<Box<str>>) -> Self {
        Self { proof: Some(proof.into()), ..self }
    }

    /// Sets the certificate of the caller, in DER.
    #[cfg_attr(not(feature = "mtls"), allow(clippy::useless_conversion))] // the type is the same
    pub fn with_certificate(self, der: impl Into<Box<[u8]>>) -> Self {
        Self { certificate: Some(der.into().into()), ..self }
    }

    /// Sets the certificate of the caller, whose thumbprint may be known.
    #[cfg(feature = "mtls")]
    pub(crate) fn with_peer_certificate(self, certificate: Certificate) -> Self {
        Self { certificate: Some(certificate), ..self }
    }

    /// Sets the rejection of a request whose certificate cannot be read.
    #[cfg(feature = "mtls")]
    pub(crate) fn with_rejection(self, rejection: Rejection) -> Self {
        Self { rejection: Some(rejection), ..self }
    }

    /// Returns the certificate of the caller, or the rejection if it cannot be read.
    #[cfg(feature = "mtls")]
    pub(crate) fn into_peer_certificate(self) -> Result<Option<Certificate>, Rejection> {
        self.rejection.map_or(Ok(self.certificate), Err)
    }

    /// Returns the method of the request.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Returns the target of the request, as the service received it.
    ///
    /// For HTTP/1, it normally has no scheme and no authority.
    #[must_use]
    pub fn target(&self) -> &Uri {
        &self.target
    }

    /// Returns the scheme with which the token was sent in `Authorization`. `None` if it was sent
    /// in another place.
    ///
    /// [`BearerAuth`](crate::bearer::BearerAuth) sets it.
    #[must_use]
    pub fn scheme(&self) -> Option<Scheme> {
        self.scheme
    }

    pub(crate) fn with_scheme(self, scheme: Option<Scheme>) -> Self {
        Self { scheme, ..self }
    }

    #[cfg(feature = "dpop")]
    pub(crate) fn with_dpop(self, sent: Sent) -> Self {
        Self { dpop: Some(Box::new(sent)), ..self }
    }

    #[cfg(feature = "dpop")]
    pub(crate) fn dpop(&self) -> Option<&Sent> {
        self.dpop.as_deref()
    }

    /// Returns the proof.
    #[must_use]
    pub fn proof(&self) -> Option<&str> {
        self.proof.as_deref()
    }

    /// Returns the certificate of the caller, in DER.
    #[must_use]
    pub fn certificate(&self) -> Option<&[u8]> {
        self.certificate.as_ref().map(AsRef::as_ref)
    }
}

/// Prints the method and whether there is a proof or a certificate. The target may contain secrets.
impl fmt::Debug for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evidence")
            .field("method", &self.method)
            .field("scheme", &self.scheme)
            .field("has_proof", &self.proof.is_some())
            .field("has_certificate", &self.certificate.is_some())
            .finish_non_exhaustive()
    }
}
