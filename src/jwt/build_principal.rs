//! The principal of a token, for the verifiers of JWTs and of introspected tokens.

use std::time::SystemTime;

use super::{
    error::TokenError,
    validation::{ValidClaims, Validation},
};
use crate::{
    header::Scheme,
    principal::{
        Principal, claims_set::ClaimsSet, map_principal::map_unconfirmed, verified::Verified,
    },
};

impl Validation {
    /// Checks the claims of a token whose source was verified, and builds the principal.
    #[inline]
    pub(crate) fn build_principal(
        &self,
        claims: ClaimsSet,
        now: SystemTime,
    ) -> Result<Principal, TokenError> {
        let ValidClaims { subject, issuer, expires_at, scopes, confirmation } =
            match self.check_claims(&claims, now) {
                Ok(valid) => valid,
                Err(error) => {
                    self.report_error(&error, &claims);
                    return Err(error);
                }
            };
        Ok(Principal::from(Verified {
            issuer,
            scopes,
            expires_at,
            confirmation,
            claims: Some(claims),
            // The `BearerAuth` adds the scheme and the challenge with which the token was sent.
            ..Verified::new(subject, Scheme::BEARER)
        }))
    }

    /// Changes a principal with the closures of `map_principal`.
    pub(crate) fn map_principal(&self, principal: Principal) -> Principal {
        let maps = self.principal_maps.iter();
        maps.fold(principal, |caller, map| map_unconfirmed(&**map, caller))
    }

    /// Runs the checks that run on each request, also for cached tokens.
    pub(crate) fn run_custom_checks(&self, principal: &Principal) -> Result<(), TokenError> {
        self.custom_checks.iter().try_for_each(|check| check(principal)).map_err(TokenError::Check)
    }
}
