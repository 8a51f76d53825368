use std::borrow::Cow;

use aws_lc_rs::digest;

use crate::{
    json::value::text,
    jwt::claims::parse_start,
    principal::{Principal, claims_set::ClaimsSet},
};

/// What a token can be revoked by, and the instant that is compared with revocations.
pub(super) struct TokenIds<'a> {
    pub(super) issuer: Cow<'a, str>,
    pub(super) token: TokenId<'a>,
    pub(super) session: Option<Cow<'a, str>>,
    /// The `sub`, the subject as verified, and the subject that the service sees, without
    /// duplicates.
    pub(super) subjects: [Option<Cow<'a, str>>; 3],
    /// The `fst` or the `iat`, in milliseconds since 1970. Instants of revocations are rounded up,
    /// so a claim at or before the time of a revocation is never later than its instant.
    pub(super) started_at: u64,
    /// Whether the token was issued by this crate, so that `fst` is compared.
    pub(super) is_own: bool,
}

/// Identifies a token among those of its issuer.
pub(super) enum TokenId<'a> {
    Jti(Cow<'a, str>),
    /// The claims, for a token without `jti`. Signatures are malleable: there can be several valid
    /// ones for the same claims.
    Claims(&'a str),
}

impl<'a> TokenIds<'a> {
    /// Reads the ids of a token. Returns `None` if the principal does not come from a JWT with
    /// `iat`.
    pub(super) fn of(principal: &'a Principal) -> Option<Self> {
        let verified = principal.as_verified();
        let claims: &ClaimsSet = verified.claims.as_ref()?;
        let string = |name| claims.get(name).and_then(text).filter(|text| !text.is_empty());
        let (started_at, is_own) = parse_start(claims)?;
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
            // The response of an introspection endpoint can lack `iss`.
            issuer: string("iss")
                .or(verified.issuer.as_deref().map(Cow::Borrowed))
                .unwrap_or_default(),
            token: string("jti").map_or(TokenId::Claims(claims.as_json()), TokenId::Jti),
            session: string("sid"),
            subjects,
            started_at: millis(started_at),
            is_own,
        })
    }
}

impl TokenId<'_> {
    /// Returns the value under which the token is revoked.
    pub(super) fn value(&self) -> Vec<u8> {
        match self {
            Self::Jti(jti) => [b"jti:", jti.as_bytes()].concat(),
            Self::Claims(json) => {
                let hash = digest::digest(&digest::SHA256, json.as_bytes());
                [b"claims:", hash.as_ref()].concat()
            }
        }
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // dates are from 0 to 2^53
fn millis(seconds: f64) -> u64 {
    (seconds * 1000.0).round() as u64
}
