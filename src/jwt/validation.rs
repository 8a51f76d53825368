//! The rules for the header and the claims of a token.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    claims::{date_claim, list_claim, text_claim},
    error::TokenError,
    jws::header::TokenTypes,
};
use crate::principal::{Principal, Scopes, claims_set::ClaimsSet, shared_text::SharedText};

/// A custom check, added with `JwtAuthBuilder::check`.
pub(crate) type CustomCheck = Arc<dyn Fn(&Principal) -> Result<(), Box<str>> + Send + Sync>;

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
    /// The paths to the claims that can contain the scopes, in order of preference.
    pub(crate) scope_claims: Vec<Box<str>>,
    /// The paths to the claims that can contain the subject, in order of preference.
    pub(crate) subject_claims: Vec<Box<str>>,
    pub(crate) required_claims: Vec<Box<str>>,
    pub(crate) custom_checks: Vec<CustomCheck>,
    /// Whether `cnf` is not read, so that bound tokens are accepted like others.
    pub(crate) ignore_confirmation: bool,
}

/// The validated claims.
pub(crate) struct ValidClaims {
    pub(crate) subject: SharedText,
    pub(crate) issuer: Option<Arc<str>>,
    pub(crate) expires_at: Option<SystemTime>,
    pub(crate) scopes: Scopes,
    /// The JSON object of `cnf`, which names the key of the caller (RFC 7800 §3.1).
    pub(crate) confirmation: Option<SharedText>,
}

impl Validation {
    pub(crate) fn check_claims(
        &self,
        claims: &ClaimsSet,
        now: SystemTime,
    ) -> Result<ValidClaims, TokenError> {
        let missing = |name: &str| TokenError::MissingClaim(name.into());
        let part = |part: &str| SharedText::part_of(claims.json(), part);

        // First the types of all claims, also of those that are not required.
        let issuer = text_claim(claims, "iss")?;
        let audience = list_claim(claims, "aud")?;
        let expires_at = date_claim(claims, "exp")?;
        let starts = [date_claim(claims, "nbf")?, date_claim(claims, "iat")?];
        let subject = self.subject(claims)?;
        let confirmation = self.confirmation(claims)?;
        let scopes = self.scope_claims.iter().find_map(|path| list_claim(claims, path).transpose());
        let scopes = scopes.transpose()?.map(|scopes| scopes.into_scopes(part));

        let issuer = match (issuer, self.issuers.is_empty()) {
            (Some(issuer), false) => {
                let accepted = self.issuers.iter().find(|accepted| ***accepted == *issuer);
                Some(Arc::clone(accepted.ok_or(TokenError::Issuer)?))
            }
            (None, false) => return Err(missing("iss")),
            (issuer, true) => issuer.map(Arc::from),
        };
        if !self.audiences.is_empty() {
            let is_accepted = |sent: &str| self.audiences.iter().any(|name| **name == *sent);
            if !audience.is_some_and(|audience| audience.any(is_accepted)) {
                return Err(TokenError::Audience);
            }
        }
        let expires_at = expires_at.ok_or_else(|| missing("exp"))?;
        self.check_validity_period(starts, expires_at, now)?;
        let subject_claim = self.subject_claims.first().map_or("sub", |name| name);
        let subject = subject.ok_or_else(|| missing(subject_claim))?;
        for name in &self.required_claims {
            if !self.is_present(claims, name)? {
                return Err(missing(name));
            }
        }
        Ok(ValidClaims {
            subject: part(&subject),
            issuer,
            expires_at: UNIX_EPOCH.checked_add(Duration::from_secs_f64(expires_at)),
            scopes: scopes.unwrap_or_default(),
            confirmation: confirmation.map(part),
        })
    }

    /// Returns the first subject that is not empty.
    fn subject<'a>(&self, claims: &'a ClaimsSet) -> Result<Option<Cow<'a, str>>, TokenError> {
        if !self.subject_claims.iter().any(|path| **path == *"sub") {
            text_claim(claims, "sub")?;
        }
        let mut subject = None;
        for path in &self.subject_claims {
            let claim = text_claim(claims, path)?.filter(|claim| !claim.is_empty());
            subject = subject.or(claim);
        }
        Ok(subject)
    }

    fn confirmation<'a>(&self, claims: &'a ClaimsSet) -> Result<Option<&'a str>, TokenError> {
        match claims.get("cnf").filter(|_| !self.ignore_confirmation) {
            Some(object) if object.starts_with('{') => Ok(Some(object)),
            Some(_) => Err(TokenError::MalformedClaims),
            None => Ok(None),
        }
    }

    /// Returns whether a required claim is present and not null.
    ///
    /// Claims that identify something must be strings (RFC 7519 §4.1.7, RFC 8693 §4.3). They must
    /// not be empty.
    fn is_present(&self, claims: &ClaimsSet, name: &str) -> Result<bool, TokenError> {
        let is_identifier = matches!(name, "sub" | "jti" | "client_id")
            || self.subject_claims.iter().any(|path| **path == *name);
        if is_identifier {
            return Ok(text_claim(claims, name)?.is_some_and(|text| !text.is_empty()));
        }
        Ok(claims.get(name).is_some_and(|json| json != "null"))
    }

    /// Checks `exp` and `nbf` (RFC 7519 §4.1.4, §4.1.5), and that `iat` is not in the future.
    fn check_validity_period(
        &self,
        starts: [Option<f64>; 2],
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
        if starts.into_iter().flatten().any(|start| now + leeway < start) {
            return Err(TokenError::NotYetValid);
        }
        Ok(())
    }
}
