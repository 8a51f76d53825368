use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{
    json::value::text,
    jwt::{
        claims::{List, parse_date},
        error::TokenError,
        logout_event::has_logout_event,
    },
    principal::{Principal, claims_set::ClaimsSet},
};

/// The claims of a valid logout token.
pub(crate) struct LogoutToken {
    pub(crate) issuer: String,
    /// The `jti`.
    pub(crate) id: String,
    pub(crate) session: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) issued_at: SystemTime,
    /// The end of the time in which an instance of this service can accept the token.
    pub(crate) accepted_until: SystemTime,
}

impl LogoutToken {
    /// The longest time from `iat` to `exp`. The specification recommends two minutes.
    const MAX_LIFE: f64 = 24.0 * 60.0 * 60.0;

    /// From the start of a second to its last millisecond.
    const END_OF_SECOND: Duration = Duration::from_millis(999);

    /// The largest leeway for `exp`, again for the difference between the clocks of instances.
    const MAX_SKEW: Duration = Duration::from_secs(300 + 300);

    /// Reads the claims of a verified token, and checks the rules for logout tokens.
    ///
    /// The verifier has checked the signature, the `typ`, `iss`, `exp` and `iat`, and that `aud`
    /// contains one of the `client_ids`.
    pub(crate) fn of(caller: &Principal, client_ids: &[Box<str>]) -> Result<Self, TokenError> {
        let claims = caller
            .as_verified()
            .claims
            .as_ref()
            .ok_or(TokenError::LogoutToken("the token has no claims"))?;
        if !has_logout_event(claims) {
            return Err(TokenError::LogoutToken("events has no object for back-channel logout"));
        }
        if claims.get("nonce").is_some() {
            return Err(TokenError::LogoutToken(
                "the token has a nonce, which only ID tokens have",
            ));
        }
        // As for ID tokens (OpenID Connect Core §3.1.3.7): no audience that is not trusted.
        let is_unknown = |name: &str| !client_ids.iter().any(|client| **client == *name);
        let audience = claims.get("aud").and_then(|json| List::parse(json).ok());
        if audience.is_none_or(|audience| audience.any(is_unknown)) {
            return Err(TokenError::LogoutToken("aud contains another client"));
        }
        let date = |name| claims.get(name).and_then(|json| parse_date(json).ok());
        let (Some(issued_at), Some(expires_at)) = (date("iat"), date("exp")) else {
            return Err(TokenError::LogoutToken("iat or exp is missing"));
        };
        if expires_at - issued_at > Self::MAX_LIFE {
            return Err(TokenError::LogoutToken("the token is valid for more than a day"));
        }
        let (subject, session) = (identifier(claims, "sub")?, identifier(claims, "sid")?);
        if subject.is_none() && session.is_none() {
            return Err(TokenError::LogoutToken("sub and sid are missing"));
        }
        Ok(Self {
            issuer: identifier(claims, "iss")?.ok_or(TokenError::LogoutToken("iss is missing"))?,
            id: identifier(claims, "jti")?.ok_or(TokenError::LogoutToken("jti is missing"))?,
            session,
            subject,
            // Most providers write whole seconds. Sessions that started within this second were
            // started before the logout.
            issued_at: instant(issued_at.floor()) + Self::END_OF_SECOND,
            accepted_until: instant(expires_at) + Self::MAX_SKEW,
        })
    }
}

/// Reads a claim that must be a string and not empty, if it is present.
fn identifier(claims: &ClaimsSet, name: &str) -> Result<Option<String>, TokenError> {
    let Some(json) = claims.get(name) else { return Ok(None) };
    match text(json) {
        Some(text) if !text.is_empty() => Ok(Some(text.into_owned())),
        _ => Err(TokenError::LogoutToken("iss, sub, sid or jti is empty or not a string")),
    }
}

/// The rules for claims bound the date, so that it is always representable.
fn instant(date: f64) -> SystemTime {
    Duration::try_from_secs_f64(date)
        .ok()
        .and_then(|since| UNIX_EPOCH.checked_add(since))
        .unwrap_or(UNIX_EPOCH)
}
