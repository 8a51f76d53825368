//! The claims that validation reads. Their types are enforced as RFC 7519 §4.1 requires.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, Error};

use super::error::TokenError;
#[cfg(feature = "revocation")]
use crate::principal::claims_set::ClaimsSet;
use crate::{
    json::{strict::Text, value::text},
    principal::Scopes,
};

/// The form that a claim must have, and does not have.
#[derive(Debug)]
pub(crate) struct Expected(pub(crate) &'static str);

impl Expected {
    const TEXT: Self = Self("a string");
    const LIST: Self = Self("a string or an array of strings");
    const DATE: Self = Self("a number of seconds since 1970");

    /// Returns the error for the claim at a path.
    #[cold]
    pub(crate) fn at(self, path: &str) -> TokenError {
        TokenError::MalformedClaim { path: path.into(), expected: self.0 }
    }
}

/// Reads a claim that must be a string.
pub(crate) fn parse_text(json: &str) -> Result<Cow<'_, str>, Expected> {
    text(json).ok_or(Expected::TEXT)
}

/// Reads a claim that must be a date.
#[allow(clippy::cast_precision_loss)] // exact, because the number is below 10^15
pub(crate) fn parse_date(json: &str) -> Result<f64, Expected> {
    // Nearly all dates are whole numbers, which are faster to read than fractions.
    if json.len() <= 15 && json.bytes().all(|byte| byte.is_ascii_digit()) {
        let add = |date: u64, byte: u8| date * 10 + u64::from(byte - b'0');
        return Ok(json.bytes().fold(0, add) as f64);
    }
    let date = serde_json::from_str(json).map(|NumericDate(date)| date);
    date.map_err(|_| Expected::DATE)
}

/// Returns the instant that revocations of a token are compared with, in seconds since 1970, and
/// whether it is the `fst`, the start of a family of tokens that this crate issues. Otherwise, it
/// is the `iat`. Returns `None` for a token without `iat`.
///
/// A refresh does not change `fst`. It is at most a second later than the first `iat`, so a claim
/// of that name which another issuer uses differently cannot make a token newer.
#[cfg(feature = "revocation")]
pub(crate) fn parse_start(claims: &ClaimsSet) -> Option<(f64, bool)> {
    let date = |name| claims.get(name).and_then(|json| parse_date(json).ok());
    let issued_at = date("iat")?;
    match date("fst") {
        Some(first) if first <= issued_at + 1.0 => Some((first, true)),
        _ => Some((issued_at, false)),
    }
}

/// Returns whether a claim is a number without fraction and exponent.
pub(crate) fn is_whole_number(json: &str) -> bool {
    let digits = json.strip_prefix('-').unwrap_or(json);
    digits.bytes().all(|byte| byte.is_ascii_digit()) && json != "-0"
}

/// A string or an array of strings.
pub(crate) enum List<'a> {
    One(Cow<'a, str>),
    Many(Vec<Text<'a>>),
}

impl<'a> List<'a> {
    pub(crate) fn parse(json: &'a str) -> Result<Self, Expected> {
        match text(json) {
            Some(one) => Ok(Self::One(one)),
            None => serde_json::from_str(json).map(Self::Many),
        }
        .map_err(|_| Expected::LIST)
    }

    /// Returns whether an item of an array contains a space, so that it is not a scope (RFC 6749
    /// §3.3).
    pub(crate) fn has_item_with_space(&self) -> bool {
        match self {
            Self::One(_) => false,
            Self::Many(list) => list.iter().any(|Text(item)| item.contains(' ')),
        }
    }

    /// Returns whether every string is empty.
    pub(crate) fn is_empty(&self) -> bool {
        !self.any(|text| !text.is_empty())
    }

    pub(crate) fn any(&self, mut is_accepted: impl FnMut(&str) -> bool) -> bool {
        match self {
            Self::One(one) => is_accepted(one),
            Self::Many(list) => list.iter().any(|Text(item)| is_accepted(item)),
        }
    }

    /// Returns the scopes of a claim: a string is split at spaces, and each item of an array is one
    /// scope.
    pub(crate) fn to_scopes(&self) -> Scopes {
        match self {
            Self::One(delimited) => Scopes::from_delimited(delimited),
            Self::Many(list) => list.iter().map(|Text(scope)| scope).collect(),
        }
    }
}

/// Seconds since the Unix epoch, with an optional fraction (RFC 7519 §2).
///
/// Rejects negative numbers, and numbers of 2^53 and above, which JSON parsers do not read alike
/// (RFC 7493 §2.2).
struct NumericDate(f64);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const LIMIT: f64 = 9_007_199_254_740_992.0;

        match f64::deserialize(deserializer)? {
            date if date.is_sign_positive() && date < LIMIT => Ok(Self(date)),
            _ => Err(D::Error::custom("invalid date")),
        }
    }
}
