//! The rules for the header and the claims of a token.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    claims::{ClaimNames, Claims},
    error::TokenError,
    jws::header::TokenTypes,
};
use crate::principal::Principal;

/// A custom check, added with `JwtAuthBuilder::check`.
pub(crate) type CustomCheck = Arc<dyn Fn(&Principal) -> Result<(), Box<str>> + Send + Sync>;

/// A change of the principal, added with `JwtAuthBuilder::map_principal`.
pub(crate) type PrincipalMap = Arc<dyn Fn(Principal) -> Principal + Send + Sync>;

/// The validation rules.
///
/// An empty list of issuers or audiences accepts all values. The builder allows an empty list only
/// after a call of `dangerous_any_issuer` or `dangerous_any_audience`.
#[derive(Clone)]
pub(crate) struct Validation {
    pub(crate) issuers: Vec<Arc<str>>,
    pub(crate) audiences: Vec<Box<str>>,
    pub(crate) token_types: TokenTypes,
    pub(crate) leeway: Duration,
    pub(crate) scopes_path: Vec<Box<str>>,
    pub(crate) subject_claims: Vec<Box<str>>,
    pub(crate) required_claims: Vec<Box<str>>,
    pub(crate) principal_maps: Vec<PrincipalMap>,
    pub(crate) custom_checks: Vec<CustomCheck>,
    /// Whether `cnf` is not read, so that bound tokens are accepted like others.
    pub(crate) ignore_confirmation: bool,
}

/// The validated claims.
pub(crate) struct ValidClaims<'a> {
    pub(crate) subject: &'a str,
    pub(crate) issuer: Option<Arc<str>>,
    pub(crate) expires_at: Option<SystemTime>,
}

impl Validation {
    pub(crate) fn claim_names(&self) -> ClaimNames<'_> {
        ClaimNames {
            scopes: &self.scopes_path,
            required: &self.required_claims,
            subject: &self.subject_claims,
            confirmation: !self.ignore_confirmation,
        }
    }

    pub(crate) fn check_claims<'a>(
        &self,
        claims: &'a Claims<'_>,
        now: SystemTime,
    ) -> Result<ValidClaims<'a>, TokenError> {
        let missing = |name: &str| TokenError::MissingClaim(name.into());

        let issuer = match (&claims.issuer, self.issuers.is_empty()) {
            (Some(issuer), false) => {
                let accepted = self.issuers.iter().find(|accepted| ***accepted == **issuer);
                Some(Arc::clone(accepted.ok_or(TokenError::Issuer)?))
            }
            (None, false) => return Err(missing("iss")),
            (issuer, true) => issuer.as_deref().map(Arc::from),
        };
        if !self.audiences.is_empty() {
            let is_accepted = |sent: &str| self.audiences.iter().any(|name| **name == *sent);
            if !claims.audience.iter().any(|sent| is_accepted(sent)) {
                return Err(TokenError::Audience);
            }
        }
        let expires_at = claims.expires_at.ok_or_else(|| missing("exp"))?;
        self.check_validity_period(claims, expires_at, now)?;
        let subject_claim = self.subject_claims.first().map_or("sub", |name| name);
        let (_, subject) = claims.subject.as_ref().ok_or_else(|| missing(subject_claim))?;
        for (position, name) in self.required_claims.iter().enumerate() {
            if !claims.present.contains(&position) {
                return Err(missing(name));
            }
        }
        let expires_at = UNIX_EPOCH.checked_add(Duration::from_secs_f64(expires_at));
        Ok(ValidClaims { subject, issuer, expires_at })
    }

    /// Checks `exp` and `nbf` (RFC 7519 §4.1.4, §4.1.5), and that `iat` is not in the future.
    fn check_validity_period(
        &self,
        claims: &Claims<'_>,
        expires_at: f64,
        now: SystemTime,
    ) -> Result<(), TokenError> {
        // A clock before 1970 is wrong, so no token can be accepted.
        let now =
            now.duration_since(UNIX_EPOCH).map_err(|_| TokenError::NotYetValid)?.as_secs_f64();
        let leeway = self.leeway.as_secs_f64();
        if now >= expires_at + leeway {
            return Err(TokenError::Expired);
        }
        let starts = [claims.not_before, claims.issued_at];
        if starts.into_iter().flatten().any(|start| now + leeway < start) {
            return Err(TokenError::NotYetValid);
        }
        Ok(())
    }
}
