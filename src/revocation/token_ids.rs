use std::borrow::Cow;

use crate::{
    json::value::text,
    jwt::claims::parse_date,
    principal::{Principal, claims_set::ClaimsSet},
};

/// What a token can be revoked by, and the instant that is compared with revocations.
pub(crate) struct TokenIds<'a> {
    pub(crate) issuer: Cow<'a, str>,
    pub(crate) token: TokenId<'a>,
    pub(crate) session: Option<Cow<'a, str>>,
    /// The `sub`, the subject as verified, and the subject that the service sees, without
    /// duplicates.
    pub(crate) subjects: [Option<Cow<'a, str>>; 3],
    /// The `fst` or the `iat`, in milliseconds since 1970, rounded down.
    pub(crate) started_at: u64,
    /// Whether the token was issued by this crate, so that `fst` is compared.
    pub(crate) is_own: bool,
}

/// Identifies a token among those of its issuer.
pub(crate) enum TokenId<'a> {
    Jti(Cow<'a, str>),
    /// The claims, for a token without `jti`.
    Claims(&'a str),
}

impl<'a> TokenIds<'a> {
    /// Reads the ids of a token. Returns `None` if the principal does not come from a JWT.
    pub(crate) fn of(principal: &'a Principal) -> Option<Self> {
        let verified = principal.as_verified();
        let claims: &ClaimsSet = verified.claims.as_ref()?;
        let string = |name| claims.get(name).and_then(text).filter(|text| !text.is_empty());
        let issued_at = claims.get("iat").and_then(|json| parse_date(json).ok())?;
        // A refresh does not change `fst`, which is at most a second later than the first `iat`.
        let first = claims.get("fst").and_then(|json| parse_date(json).ok());
        let first = first.filter(|first| *first <= issued_at + 1.0);
        let mut subjects = [
            string("sub"),
            Some(Cow::Borrowed(&*verified.subject)),
            Some(Cow::Borrowed(principal.subject())),
        ];
        for index in 1..subjects.len() {
            let (before, rest) = subjects.split_at_mut(index);
            if let Some(subject) = rest.first_mut()
                && before.contains(subject)
            {
                *subject = None;
            }
        }
        Some(Self {
            issuer: string("iss").unwrap_or_default(),
            token: string("jti").map_or(TokenId::Claims(claims.as_json()), TokenId::Jti),
            session: string("sid"),
            subjects,
            started_at: millis(first.unwrap_or(issued_at)),
            is_own: first.is_some(),
        })
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // dates are from 0 to 2^53
fn millis(seconds: f64) -> u64 {
    (seconds * 1000.0).floor() as u64
}
