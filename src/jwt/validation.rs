//! What a token with a good signature still has to be.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    claims::{Claims, Wanted},
    error::TokenError,
    jws::header::Header,
};
use crate::principal::Principal;

/// A check of the user's own.
pub(crate) type Check = Arc<dyn Fn(&Principal) -> Result<(), Box<str>> + Send + Sync>;

/// The rules. An empty list of issuers or audiences takes any: the builder sees to it that nobody gets
/// there by forgetting.
#[derive(Clone)]
pub(crate) struct Validation {
    pub(crate) issuers: Vec<Arc<str>>,
    pub(crate) audiences: Vec<Box<str>>,
    pub(crate) token_types: TokenTypes,
    pub(crate) leeway: Duration,
    pub(crate) scopes: Vec<Box<str>>,
    pub(crate) subject: Vec<Box<str>>,
    pub(crate) required: Vec<Box<str>>,
    pub(crate) checks: Vec<Check>,
}

/// Which `typ` a token may have (RFC 8725 §3.11).
#[derive(Clone)]
pub(crate) enum TokenTypes {
    /// None, or one that access tokens have. A token of a kind with a name of its own, such as
    /// `logout+jwt`, is none.
    Usual,
    Listed(Vec<Box<str>>),
    Any,
}

/// What validation found out, in terms of the caller.
pub(crate) struct Valid<'a> {
    pub(crate) subject: &'a str,
    pub(crate) issuer: Option<Arc<str>>,
    pub(crate) expires_at: Option<SystemTime>,
}

impl Validation {
    pub(crate) fn wanted(&self) -> Wanted<'_> {
        Wanted { scopes: &self.scopes, required: &self.required, subject: &self.subject }
    }

    /// `typ` is a media type: it compares without regard to case, and `application/` may be left out
    /// (RFC 7515 §4.1.9).
    pub(crate) fn check_header(&self, header: &Header<'_>) -> Result<(), TokenError> {
        let sent = header.token_type.as_deref().map(short_type);
        let is = |wanted: &str| sent.is_some_and(|sent| sent.eq_ignore_ascii_case(wanted));
        let accepted = match &self.token_types {
            TokenTypes::Usual => sent.is_none() || is("JWT") || is("at+jwt"),
            TokenTypes::Listed(types) => types.iter().any(|wanted| is(short_type(wanted))),
            TokenTypes::Any => true,
        };
        if accepted { Ok(()) } else { Err(TokenError::Type) }
    }

    pub(crate) fn check_claims<'a>(
        &self,
        claims: &'a Claims<'_>,
        now: SystemTime,
    ) -> Result<Valid<'a>, TokenError> {
        let missing = |name: &str| TokenError::MissingClaim(name.into());

        let issuer = match (&claims.issuer, self.issuers.is_empty()) {
            (Some(issuer), false) => {
                let known = self.issuers.iter().find(|known| ***known == **issuer);
                Some(Arc::clone(known.ok_or(TokenError::Issuer)?))
            }
            (None, false) => return Err(missing("iss")),
            (issuer, true) => issuer.as_deref().map(Arc::from),
        };
        if !self.audiences.is_empty() {
            let for_us = |sent: &str| self.audiences.iter().any(|ours| **ours == *sent);
            if !claims.audience.iter().any(|sent| for_us(sent)) {
                return Err(TokenError::Audience);
            }
        }
        let expires_at = claims.expires_at.ok_or_else(|| missing("exp"))?;
        self.check_time(claims, expires_at, now)?;
        let first = self.subject.first().map_or("sub", |name| name);
        let (_, subject) = claims.subject.as_ref().ok_or_else(|| missing(first))?;
        for (position, name) in self.required.iter().enumerate() {
            if !claims.present.contains(&position) {
                return Err(missing(name));
            }
        }
        let expires_at = UNIX_EPOCH.checked_add(Duration::from_secs_f64(expires_at));
        Ok(Valid { subject, issuer, expires_at })
    }

    /// RFC 7519 §4.1.4 and §4.1.5. What is said to be issued in the future is not valid yet either.
    fn check_time(
        &self,
        claims: &Claims<'_>,
        expires_at: f64,
        now: SystemTime,
    ) -> Result<(), TokenError> {
        // A clock before 1970 is wrong, and tells of no token that it is valid.
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

fn short_type(typ: &str) -> &str {
    const PREFIX: &str = "application/";
    match typ.split_at_checked(PREFIX.len()) {
        // Only where nothing else in it is a slash.
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) && !rest.contains('/') => rest,
        _ => typ,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_a_media_type() {
        assert_eq!(short_type("application/at+jwt"), "at+jwt");
        assert_eq!(short_type("Application/at+jwt"), "at+jwt");
        assert_eq!(short_type("at+jwt"), "at+jwt");
        assert_eq!(short_type("application/x/y"), "application/x/y");
    }
}
