use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    admission::Admission,
    back_off::BackOff,
    cache::{ActiveTokens, InactiveTokens, KnownTokens},
    endpoint::Endpoint,
    failure::Failure,
    flight::Flights,
    token_digest::TokenDigest,
    token_kind::TokenKinds,
};
#[cfg(feature = "revocation")]
use crate::revocation::revocations::Revocations;
use crate::{
    clock::Clock,
    jwt::{error::TokenError, validation::Validation},
    observe::observer::Observer,
    principal::{Principal, claims_set::ClaimsSet},
    rejection::Rejection,
    throttle::throttle::Throttle,
};

/// What the clones of an [`Introspection`](super::Introspection) share.
pub(super) struct State {
    pub(super) endpoint: Endpoint,
    pub(super) validation: Validation,
    pub(super) token_kinds: TokenKinds,
    pub(super) max_response_bytes: usize,
    pub(super) timeout: Duration,
    pub(super) active: Option<ActiveTokens>,
    pub(super) inactive: InactiveTokens,
    pub(super) known: KnownTokens,
    pub(super) flights: Arc<Flights>,
    pub(super) admission: Admission,
    /// For unknown and for known tokens: a client that sends tokens of its choice must not be able
    /// to stop the requests with known ones.
    pub(super) back_offs: [BackOff; 2],
    pub(super) throttle: Option<Arc<Throttle>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) observer: Observer,
    #[cfg(feature = "revocation")]
    pub(super) revocations: Option<Revocations>,
}

impl State {
    /// Returns what is known about a token, without the custom checks.
    #[inline]
    pub(super) fn lookup(&self, token: &TokenDigest) -> Option<Result<Principal, Rejection>> {
        let elapsed = self.clock.elapsed();
        let cached =
            self.active.as_ref().and_then(|active| active.get(token, elapsed, || self.clock.now()));
        match cached {
            Some(principal) => Some(Ok(principal)),
            None => {
                let reason = self.inactive.get(token, elapsed)?;
                Some(Err(Failure::Invalid(reason).into()))
            }
        }
    }

    /// Runs the custom checks, which run for each request.
    pub(super) fn check(&self, principal: Principal) -> Result<Principal, Rejection> {
        match self.validation.run_custom_checks(&principal) {
            Ok(()) => Ok(principal),
            Err(error) => Err(Failure::Invalid(error).into()),
        }
    }

    /// Returns the longest time until the endpoint is asked again, if it is not asked now.
    pub(super) fn pause(&self) -> Option<Duration> {
        let now = self.clock.elapsed();
        self.back_offs.iter().filter_map(|back_off| back_off.wait(now)).max()
    }

    pub(super) fn back_off(&self, is_known: bool) -> &BackOff {
        let [unknown, known] = &self.back_offs;
        if is_known { known } else { unknown }
    }

    /// Checks the members of a response, and builds the caller.
    pub(super) fn build_principal(
        &self,
        claims: ClaimsSet,
        now: SystemTime,
    ) -> Result<Principal, TokenError> {
        self.token_kinds.check(&claims)?;
        let principal = self.validation.build_principal(claims, now)?;
        self.token_kinds.check_binding(&principal)?;
        Ok(self.validation.map_principal(principal))
    }
}
