//! What a request contains for the check of its proof.

use http::{HeaderName, request::Parts};

use super::{error::ProofError, proof::Proof, target::Target};
use crate::{credentials::accepted_hosts::AcceptedHosts, transport::forwarded::Forwarded};

/// The value of the only `DPoP` header, and the URL of the request.
///
/// A request without a proof has this as well, because the scheme of its token is checked first.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(super) proof: Result<Box<str>, ProofError>,
    pub(super) target: Result<Target, ProofError>,
}

const DPOP: HeaderName = HeaderName::from_static("dpop");

impl Sent {
    pub(super) fn of_request(
        forwarded: &Forwarded,
        hosts: &AcceptedHosts,
        prefix: &str,
        head: &Parts,
    ) -> Self {
        let mut lines = head.headers.get_all(DPOP).iter();
        let proof = match (lines.next(), lines.next()) {
            (None, _) => Err(ProofError::Missing),
            (_, Some(_)) => Err(ProofError::Several),
            // A long proof is not even copied.
            (Some(proof), None) if proof.len() > Proof::MAX_BYTES => Err(ProofError::TooLong),
            (Some(proof), None) => {
                proof.to_str().map(Box::from).map_err(|_| ProofError::NotCompactJws)
            }
        };
        let target = match &proof {
            Ok(_) => Target::of_request(forwarded, hosts, prefix, head),
            Err(error) => Err(*error),
        };
        Self { proof, target }
    }
}
