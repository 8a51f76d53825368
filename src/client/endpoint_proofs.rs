use bytes::Bytes;
use http::{Request, Response};

use super::endpoint_failure::EndpointFailure;
#[cfg(feature = "dpop")]
use super::{
    dpop_nonces::{DPOP, Nonces},
    dpop_url::ProofUrl,
    endpoint_failure::Fault,
};
#[cfg(feature = "dpop")]
use crate::dpop::DpopKey;
use crate::header::Scheme;

/// Adds proofs of a key to the requests to a token endpoint, if there is a key (RFC 9449 §5).
#[derive(Default)]
pub(super) struct EndpointProofs {
    /// The nonces are those of the authorization server, not of the services (RFC 9449 §8).
    #[cfg(feature = "dpop")]
    key: Option<(DpopKey, Nonces)>,
}

#[cfg(feature = "dpop")]
impl EndpointProofs {
    pub(super) fn of(key: Option<DpopKey>) -> Self {
        Self { key: key.map(|key| (key, Nonces::new())) }
    }

    pub(super) fn add_to(&self, request: &mut Request<Bytes>) -> Result<(), EndpointFailure> {
        let Some((key, nonces)) = &self.key else { return Ok(()) };
        let Some(url) = ProofUrl::of(request.uri(), None) else {
            let message = "the URL of the token endpoint cannot be named in a DPoP proof";
            return Err(EndpointFailure::because(message).from(Fault::Configuration));
        };
        let nonce = nonces.get(&url.origin);
        let proof = key.proof(request.method(), &url.htu, None, nonce.as_deref());
        let proof = proof.map_err(|_| EndpointFailure::because("the DPoP key cannot sign"))?;
        request.headers_mut().insert(DPOP, proof);
        Ok(())
    }

    /// Keeps the nonce of a response. Returns whether there is one.
    pub(super) fn keep_nonce(&self, origin: &http::Uri, response: &Response<Bytes>) -> bool {
        let Some((_, nonces)) = &self.key else { return false };
        ProofUrl::of(origin, None)
            .is_some_and(|url| nonces.keep(&url.origin, response.headers()).is_some())
    }

    /// Returns the `token_type` that a response must have.
    pub(super) fn token_type(&self) -> Scheme {
        if self.key.is_some() { Scheme::DPOP } else { Scheme::BEARER }
    }
}

#[cfg(not(feature = "dpop"))]
#[allow(clippy::unused_self, clippy::unnecessary_wraps)] // the same interface
impl EndpointProofs {
    pub(super) fn add_to(&self, _: &mut Request<Bytes>) -> Result<(), EndpointFailure> {
        Ok(())
    }

    pub(super) fn keep_nonce(&self, _: &http::Uri, _: &Response<Bytes>) -> bool {
        false
    }

    pub(super) fn token_type(&self) -> Scheme {
        Scheme::BEARER
    }
}
