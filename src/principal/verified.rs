use std::{fmt, sync::Arc, time::SystemTime};

use http::Extensions;

use super::scopes::Scopes;
#[cfg(feature = "jwt")]
use super::{claims_set::ClaimsSet, typed_claims::TypedClaims};
#[cfg(feature = "jwt")]
use crate::binding::cnf::Cnf;
use crate::header::{Challenge, Scheme};

/// What is known about a caller whose credentials were verified.
#[derive(Clone)]
pub(crate) struct Verified {
    pub(crate) subject: Arc<str>,
    pub(crate) scheme: Scheme,
    pub(crate) issuer: Option<Arc<str>>,
    pub(crate) scopes: Scopes,
    pub(crate) expires_at: Option<SystemTime>,
    pub(crate) challenge: Option<Challenge>,
    pub(crate) extensions: Extensions,
    #[cfg(feature = "jwt")]
    pub(crate) claims: Option<ClaimsSet>,
    #[cfg(feature = "jwt")]
    pub(crate) typed_claims: TypedClaims,
    #[cfg(feature = "jwt")]
    pub(crate) confirmation: Option<Cnf>,
    /// What the verifier returned, if a closure has changed the claims or the subject since.
    #[cfg(feature = "revocation")]
    pub(crate) as_verified: Option<Arc<Self>>,
}

impl Verified {
    #[inline]
    pub(crate) fn new(subject: Arc<str>, scheme: Scheme) -> Self {
        Self {
            subject,
            scheme,
            issuer: None,
            scopes: Scopes::default(),
            expires_at: None,
            challenge: None,
            extensions: Extensions::new(),
            #[cfg(feature = "jwt")]
            claims: None,
            #[cfg(feature = "jwt")]
            typed_claims: TypedClaims::default(),
            #[cfg(feature = "jwt")]
            confirmation: None,
            #[cfg(feature = "revocation")]
            as_verified: None,
        }
    }

    /// Returns the claims as they were sent.
    #[cfg(feature = "revocation")]
    pub(super) fn claims_json(&self) -> Option<&str> {
        self.claims.as_ref().map(ClaimsSet::as_json)
    }

    /// Returns an estimate of the size of the referenced memory, in bytes. The reserve for
    /// deserialized claims is a fixed factor.
    ///
    /// Values in the extensions and the challenge, which most principals of tokens share, are not
    /// counted.
    #[cfg(feature = "token-cache")]
    pub(crate) fn heap_bytes(&self) -> usize {
        let claims = self.claims.as_ref().map_or(0, ClaimsSet::heap_bytes);
        let issuer = self.issuer.as_deref().map_or(0, str::len);
        let confirmation = self.confirmation.as_ref().map_or(0, |cnf| cnf.0.len());
        let bytes = claims + issuer + confirmation + self.subject.len() + self.scopes.heap_bytes();
        #[cfg(feature = "revocation")]
        let bytes = bytes + self.as_verified.as_ref().map_or(0, |verified| verified.heap_bytes());
        bytes
    }

    /// Formats the fields, without the claims: they may contain personal data.
    pub(crate) fn fmt_as(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("subject", &self.subject)
            .field("scheme", &self.scheme)
            .field("issuer", &self.issuer)
            .field("scopes", &self.scopes)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}
