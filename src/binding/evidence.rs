use std::fmt;

use http::{Method, Uri, request::Parts};

#[cfg(feature = "dpop")]
use crate::dpop::sent::Sent;
use crate::header::Scheme;

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
    certificate: Option<Box<[u8]>>,
    #[cfg(feature = "dpop")]
    dpop: Option<Box<Sent>>,
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
        }
    }

    /// Sets the proof, for example the value of a `DPoP` header.
    pub fn with_proof(self, proof: impl Into<Box<str>>) -> Self {
        Self { proof: Some(proof.into()), ..self }
    }

    /// Sets the certificate of the caller, in DER.
    pub fn with_certificate(self, der: impl Into<Box<[u8]>>) -> Self {
        Self { certificate: Some(der.into()), ..self }
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

    /// Returns the scheme with which the token was sent in `Authorization`. `None` if it was sent in
    /// another place.
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
        self.certificate.as_deref()
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
