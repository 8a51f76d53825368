//! The rules for the header and the claims of a token.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

#[cfg(feature = "revocation")]
use super::claims::parse_start;
use super::{
    claim_faults::ClaimFaults,
    claims::{Expected, List, is_whole_number, parse_date, parse_text},
    error::TokenError,
    jws::header::TokenTypes,
    logout_event::{LOGOUT_TOKEN_TYPE, names_logout_event},
};
use crate::{
    binding::cnf::Cnf,
    json::value::texts,
    principal::{
        Principal, Scopes,
        claims_set::{ClaimsSet, steps},
    },
};

/// What the items of an array with scopes must be.
const SPACE_IN_SCOPE: &str =
    "an array with one scope in each item: an item with a space grants no scope of its words";

/// What the name of a claim must be that is not in the token, but looks like a path into it.
const NESTED_NAME: &str = "at the top level under this name, dots included: the path to a nested \
                           claim is a JSON Pointer, such as `/realm_access/roles`";

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
    /// The paths to the claims that can contain the audience, in order of preference.
    pub(crate) audience_claims: Vec<Box<str>>,
    pub(crate) token_types: TokenTypes,
    pub(crate) leeway: Duration,
    /// The paths to the claims that can contain the scopes, in order of preference.
    pub(crate) scope_claims: Vec<Box<str>>,
    /// Whether the scopes of all these claims are merged.
    pub(crate) merge_scopes: bool,
    /// The paths to the claims that can contain the subject, in order of preference.
    pub(crate) subject_claims: Vec<Box<str>>,
    /// Whether `sub` can be a whole number, contrary to RFC 7519 §4.1.2.
    pub(crate) accept_numeric_subject: bool,
    pub(crate) required_claims: Vec<Box<str>>,
    pub(crate) claim_values: Vec<ClaimValues>,
    pub(crate) accept_future_issued_at: bool,
    pub(crate) principal_maps: Vec<PrincipalMap>,
    pub(crate) custom_checks: Vec<CustomCheck>,
    /// Whether the claims come from the endpoint of the issuer (RFC 7662), so that `iss` and `exp`
    /// are optional.
    pub(crate) is_introspection: bool,
    /// Whether `cnf` is not read, so that bound tokens are accepted like others.
    pub(crate) ignore_confirmation: bool,
    /// Reports malformed claims of tokens with a valid signature.
    pub(crate) faults: Arc<ClaimFaults>,
    /// The longest time from `iat` (or an earlier `fst`) to `exp`, if tokens can be revoked. `iat`
    /// is then required.
    #[cfg(feature = "revocation")]
    pub(crate) longest_life: Option<Duration>,
}

/// The accepted values of the claim at a path.
#[derive(Clone)]
pub(crate) struct ClaimValues {
    pub(crate) path: Box<str>,
    pub(crate) accepted: Vec<Box<str>>,
}

/// The validated claims.
pub(crate) struct ValidClaims {
    pub(crate) subject: Arc<str>,
    pub(crate) issuer: Option<Arc<str>>,
    pub(crate) expires_at: Option<SystemTime>,
    pub(crate) scopes: Scopes,
    /// The JSON object of `cnf`, which names the key of the caller (RFC 7800 §3.1).
    pub(crate) confirmation: Option<Cnf>,
}

impl Validation {
    pub(crate) fn check_claims(
        &self,
        claims: &ClaimsSet,
        now: SystemTime,
    ) -> Result<ValidClaims, TokenError> {
        let missing = |name: &str| TokenError::MissingClaim(name.into());

        // First the types, also of claims that are not required. Of the claims with scopes, only
        // the first one is read.
        let date = |name| parse(name, claims.get(name), parse_date);
        let issuer = parse("iss", claims.get("iss"), parse_text)?;
        let is_for_this_service = self.is_for_this_service(claims)?;
        let (expires_at, not_before, issued_at) = (date("exp")?, date("nbf")?, date("iat")?);
        let subject = self.subject(claims)?;
        let scopes = self.scopes(claims)?;
        let absent = self.absent_claim(claims)?;
        let unaccepted = self.unaccepted_claim(claims)?;
        let cnf = claims.get("cnf").filter(|_| !self.ignore_confirmation);
        if cnf.is_some_and(|json| !json.starts_with('{')) {
            return Err(Expected("a JSON object").at("cnf"));
        }

        // Not every provider marks its logout tokens by `typ`.
        if names_logout_event(claims) && !self.token_types.contains(LOGOUT_TOKEN_TYPE) {
            return Err(TokenError::Type);
        }
        let issuer = match (issuer, self.issuers.is_empty()) {
            (Some(issuer), false) => {
                let accepted = self.issuers.iter().find(|accepted| ***accepted == *issuer);
                Some(Arc::clone(accepted.ok_or(TokenError::Issuer)?))
            }
            (None, false) if self.is_introspection => self.issuers.first().cloned(),
            (None, false) => return Err(missing("iss")),
            (issuer, true) => issuer.map(Arc::from),
        };
        if !is_for_this_service {
            return Err(TokenError::Audience);
        }
        if expires_at.is_none() && !self.is_introspection {
            return Err(missing("exp"));
        }
        #[cfg(feature = "revocation")]
        if let Some(longest) = self.longest_life {
            let expires_at = expires_at.ok_or_else(|| missing("exp"))?;
            let (started_at, _) = parse_start(claims).ok_or_else(|| missing("iat"))?;
            if expires_at - started_at > longest.as_secs_f64() {
                return Err(TokenError::LifetimeTooLong);
            }
        }
        let issued_at = issued_at.filter(|_| !self.accept_future_issued_at);
        self.check_validity_period([not_before, issued_at], expires_at, now)?;
        let subject_claim = self.subject_claims.first().map_or("sub", |name| name);
        let subject = subject.ok_or_else(|| missing(subject_claim))?;
        if let Some(name) = absent {
            return Err(missing(name));
        }
        if let Some(path) = unaccepted {
            return Err(TokenError::ClaimValue(path.into()));
        }
        Ok(ValidClaims {
            subject: subject.into(),
            issuer,
            expires_at: expires_at
                .and_then(|date| UNIX_EPOCH.checked_add(Duration::from_secs_f64(date))),
            scopes,
            confirmation: cnf.map(|object| Cnf(object.into())),
        })
    }

    /// Returns whether the token is for this service.
    ///
    /// An `aud` with a name must always name this service (RFC 7519 §4.1.3), even if the audience
    /// is read from another claim.
    fn is_for_this_service(&self, claims: &ClaimsSet) -> Result<bool, TokenError> {
        let aud = parse("aud", claims.get("aud"), List::parse)?;
        if self.audiences.is_empty() {
            return Ok(true);
        }
        let is_accepted = |sent: &str| self.audiences.iter().any(|name| **name == *sent);
        let aud = aud.filter(|aud| !aud.is_empty());
        let in_aud = aud.map(|aud| aud.any(is_accepted));
        if in_aud == Some(false) {
            return Ok(false);
        }
        for path in &self.audience_claims {
            let is_named = match &**path {
                "aud" => in_aud,
                path => {
                    let audience = parse(path, self.find_present(claims, path)?, List::parse)?;
                    let audience = audience.filter(|audience| !audience.is_empty());
                    audience.map(|audience| audience.any(is_accepted))
                }
            };
            if let Some(is_named) = is_named {
                return Ok(is_named);
            }
        }
        Ok(false)
    }

    /// Returns the first subject that is not empty.
    fn subject<'a>(&self, claims: &'a ClaimsSet) -> Result<Option<Cow<'a, str>>, TokenError> {
        let sub = claims.get("sub").map(|sub| self.parse_subject("sub", sub)).transpose()?;
        let mut subject = None;
        for path in &self.subject_claims {
            let claim = match &**path {
                "sub" => sub.clone(),
                path => {
                    let claim = self.find_present(claims, path)?;
                    claim.map(|claim| self.parse_subject(path, claim)).transpose()?
                }
            };
            subject = subject.or(claim.filter(|claim| !claim.is_empty()));
        }
        Ok(subject)
    }

    /// Reads a claim that identifies the caller.
    ///
    /// `sub` and `client_id` must be strings (RFC 7519 §4.1.2, RFC 8693 §4.3). No standard says so
    /// of claims such as `user_id`, so these can be whole numbers.
    fn parse_subject<'a>(&self, path: &str, json: &'a str) -> Result<Cow<'a, str>, TokenError> {
        let accepts_number = match path {
            "sub" => self.accept_numeric_subject,
            path => !steps(path).eq(["client_id"]),
        };
        if accepts_number && is_whole_number(json) {
            return Ok(Cow::Borrowed(json));
        }
        match accepts_number {
            true => parse_text(json).map_err(|_| Expected("a string or a whole number").at(path)),
            false => parse_text(json).map_err(|expected| expected.at(path)),
        }
    }

    /// Returns the scopes of the first claim that is present, or of all claims.
    fn scopes(&self, claims: &ClaimsSet) -> Result<Scopes, TokenError> {
        let mut merged: Option<Scopes> = None;
        for path in &self.scope_claims {
            let json = self.find_present(claims, path)?;
            let Some(list) = parse(path, json, List::parse)? else { continue };
            if list.has_item_with_space() {
                self.report_claim(path, SPACE_IN_SCOPE, claims);
            }
            if !self.merge_scopes {
                return Ok(list.to_scopes());
            }
            merged = Some(match merged {
                None => list.to_scopes(),
                Some(scopes) => {
                    let more = list.to_scopes();
                    let more = more.iter().filter(|scope| !scopes.contains(scope));
                    scopes.iter().chain(more).collect()
                }
            });
        }
        Ok(merged.unwrap_or_default())
    }

    /// Returns the JSON of a claim that is not null.
    fn find_present<'a>(
        &self,
        claims: &'a ClaimsSet,
        path: &str,
    ) -> Result<Option<&'a str>, TokenError> {
        let json = find(claims, path)?;
        if json.is_none() && claims.is_nested_name(path) {
            self.report_claim(path, NESTED_NAME, claims);
        }
        Ok(json.filter(|json| *json != "null"))
    }

    /// Reports the claim of an error, if it is about a claim.
    pub(crate) fn report_error(&self, error: &TokenError, claims: &ClaimsSet) {
        if let TokenError::MalformedClaim { path, expected } = error {
            self.report_claim(path, expected, claims);
        }
    }

    /// Reports a claim of a token with a valid signature, unless the token is of another issuer.
    #[cold]
    fn report_claim(&self, path: &str, expected: &'static str, claims: &ClaimsSet) {
        let sent = claims.get("iss").and_then(|json| parse_text(json).ok());
        let issuer = match (&*self.issuers, sent) {
            ([], _) => None,
            (issuers, Some(sent)) => match issuers.iter().find(|issuer| ***issuer == *sent) {
                Some(issuer) => Some(issuer),
                None => return,
            },
            ([issuer], None) => Some(issuer),
            _ => None,
        };
        self.faults.report(issuer, path, expected);
    }

    /// Returns the first required claim that is absent.
    fn absent_claim(&self, claims: &ClaimsSet) -> Result<Option<&str>, TokenError> {
        let mut absent = None;
        for name in &self.required_claims {
            if !self.is_present(claims, name)? {
                absent = absent.or(Some(&**name));
            }
        }
        Ok(absent)
    }

    /// Returns the path to the first claim that has none of its accepted values.
    fn unaccepted_claim(&self, claims: &ClaimsSet) -> Result<Option<&str>, TokenError> {
        let mut unaccepted = None;
        for ClaimValues { path, accepted } in &self.claim_values {
            let sent = find(claims, path)?.map(texts).unwrap_or_default();
            if !sent.iter().any(|sent| accepted.iter().any(|value| **value == **sent)) {
                unaccepted = unaccepted.or(Some(&**path));
            }
        }
        Ok(unaccepted)
    }

    /// Returns whether a required claim is present and not null.
    ///
    /// Claims that identify something must be strings (RFC 7519 §4.1.7, RFC 8693 §4.3), except for
    /// subjects that can be numbers. They must not be empty.
    fn is_present(&self, claims: &ClaimsSet, name: &str) -> Result<bool, TokenError> {
        let identifier = match name {
            "sub" => claims.get(name).map(|json| self.parse_subject(name, json)),
            "jti" | "client_id" => parse(name, claims.get(name), parse_text).transpose(),
            _ => {
                let json = claims.get(name).filter(|json| *json != "null");
                if !self.subject_claims.iter().any(|path| steps(path).eq([name])) {
                    return Ok(json.is_some());
                }
                json.map(|json| self.parse_subject(name, json))
            }
        };
        Ok(identifier.transpose()?.is_some_and(|text| !text.is_empty()))
    }

    /// Checks `exp` and `nbf` (RFC 7519 §4.1.4, §4.1.5), and that `iat` is not in the future.
    fn check_validity_period(
        &self,
        starts: [Option<f64>; 2],
        expires_at: Option<f64>,
        now: SystemTime,
    ) -> Result<(), TokenError> {
        // A clock before 1970 is wrong, so no token can be accepted.
        let now =
            now.duration_since(UNIX_EPOCH).map_err(|_| TokenError::NotYetValid)?.as_secs_f64();
        let leeway = self.leeway.as_secs_f64();
        if expires_at.is_some_and(|end| now >= end + leeway) {
            return Err(TokenError::Expired);
        }
        if starts.into_iter().flatten().any(|start| now + leeway < start) {
            return Err(TokenError::NotYetValid);
        }
        Ok(())
    }
}

/// Parses the JSON of the claim at a path, if there is one.
#[inline]
fn parse<'a, T>(
    path: &str,
    json: Option<&'a str>,
    parse: fn(&'a str) -> Result<T, Expected>,
) -> Result<Option<T>, TokenError> {
    json.map(parse).transpose().map_err(|expected| expected.at(path))
}

fn find<'a>(claims: &'a ClaimsSet, path: &str) -> Result<Option<&'a str>, TokenError> {
    let inside_objects = |_| Expected("inside objects or arrays, as its path says").at(path);
    claims.find(path).map_err(inside_objects)
}

#[cfg(test)]
#[path = "validation_tests.rs"]
mod tests;
