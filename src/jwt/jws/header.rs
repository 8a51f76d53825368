//! The JOSE header (RFC 7515 §4), and a memo of verified headers.

use std::{borrow::Cow, fmt, marker::PhantomData, sync::OnceLock};

use jsonwebtoken::Algorithm;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use crate::{
    json::strict::{self, DepthLimit, MemberNames, Text},
    jwt::error::TokenError,
};

/// The header members that verification uses.
///
/// `jku`, `x5u`, `x5c` and `jwk` are ignored: a token must not choose its own key (RFC 8725 §3.10).
#[derive(Debug)]
pub(crate) struct Header<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<Cow<'a, str>>,
    pub(crate) token_type: Option<Cow<'a, str>>,
}

impl<'a> Header<'a> {
    pub(crate) fn parse(json: &'a [u8]) -> Result<Self, TokenError> {
        let raw: RawHeader<'a> =
            strict::from_slice(json, PhantomData).map_err(|_| TokenError::MalformedHeader)?;
        if raw.has_critical_extension {
            return Err(TokenError::CriticalHeader);
        }
        let algorithm = raw.alg.ok_or(TokenError::MalformedHeader)?;
        let algorithm = parse_algorithm(&algorithm).ok_or(TokenError::Algorithm)?;
        Ok(Self { algorithm, key_id: raw.kid, token_type: raw.typ })
    }

    /// Checks `typ`. It is a media type: the comparison ignores case, and the prefix `application/`
    /// is optional (RFC 7515 §4.1.9).
    pub(crate) fn check_type(&self, accepted: &TokenTypes) -> Result<(), TokenError> {
        let is_accepted = match (self.token_type.as_deref(), accepted) {
            (Some(sent), accepted) => accepted.contains(sent),
            (None, TokenTypes::Listed { is_optional, .. }) => *is_optional,
            (None, TokenTypes::AccessToken | TokenTypes::Any) => true,
        };
        if is_accepted { Ok(()) } else { Err(TokenError::Type) }
    }
}

/// The accepted values of `typ` (RFC 8725 §3.11).
#[derive(Clone)]
pub(crate) enum TokenTypes {
    /// No `typ`, `JWT` or `at+jwt`. Tokens for another purpose, such as `logout+jwt`, are rejected.
    AccessToken,
    Listed {
        types: Vec<Box<str>>,
        /// Whether tokens without `typ` are accepted as well.
        is_optional: bool,
    },
    Any,
}

impl TokenTypes {
    /// Returns whether tokens with this `typ` are accepted.
    pub(crate) fn contains(&self, typ: &str) -> bool {
        let is = |accepted: &str| is_same_type(typ, accepted);
        match self {
            Self::AccessToken => is("JWT") || is("at+jwt"),
            Self::Listed { types, .. } => types.iter().any(|accepted| is(accepted)),
            Self::Any => true,
        }
    }
}

/// Returns whether two values of `typ` are the same media type (RFC 7515 §4.1.9).
pub(crate) fn is_same_type(typ: &str, other: &str) -> bool {
    strip_application_prefix(typ).eq_ignore_ascii_case(strip_application_prefix(other))
}

fn strip_application_prefix(typ: &str) -> &str {
    const PREFIX: &str = "application/";
    match typ.split_at_checked(PREFIX.len()) {
        // The prefix is optional only if the rest contains no slash.
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) && !rest.contains('/') => rest,
        _ => typ,
    }
}

/// Returns the algorithm with this case-sensitive name.
///
/// `Ed25519` (RFC 9864) is the same as `EdDSA` here, because Ed25519 is the only supported Edwards
/// curve.
pub(crate) fn parse_algorithm(name: &str) -> Option<Algorithm> {
    match name {
        "Ed25519" => Some(Algorithm::EdDSA),
        name => name.parse().ok(),
    }
}

#[derive(Default)]
struct RawHeader<'a> {
    alg: Option<Cow<'a, str>>,
    kid: Option<Cow<'a, str>>,
    typ: Option<Cow<'a, str>>,
    /// Whether the header has `crit`, even an empty one, or `b64` (RFC 7797). A recipient must
    /// reject extensions that it does not support.
    has_critical_extension: bool,
}

impl<'de> Deserialize<'de> for RawHeader<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RawHeaderVisitor;

        impl<'de> Visitor<'de> for RawHeaderVisitor {
            type Value = RawHeader<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JOSE header")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader<'de>, A::Error> {
                let (mut header, mut names) = (RawHeader::default(), MemberNames::default());
                while let Some(name) = map.next_key::<Text<'_>>()? {
                    match &*name.0 {
                        "alg" => header.alg = Some(map.next_value::<Text<'_>>()?.0),
                        "kid" => header.kid = Some(map.next_value::<Text<'_>>()?.0),
                        "typ" => header.typ = Some(map.next_value::<Text<'_>>()?.0),
                        other => {
                            header.has_critical_extension |= matches!(other, "crit" | "b64");
                            map.next_value_seed(DepthLimit::MAX)?;
                        }
                    }
                    names.add(name.0);
                }
                names.check()?;
                Ok(header)
            }
        }

        deserializer.deserialize_map(RawHeaderVisitor)
    }
}

/// The parsed content of a header, from a token whose type was accepted and whose signature was
/// verified.
pub(crate) struct KnownHeader {
    /// The header as sent, in base64url.
    encoded: Box<[u8]>,
    pub(crate) algorithm: Algorithm,
    /// The position of the key that verified the signature.
    pub(crate) key: usize,
    /// Whether exactly one key has the key id and algorithm of the header. If so, a wrong signature
    /// is final: no other key is tried, and no refresh of the key set is requested.
    pub(crate) is_only_key: bool,
}

const CAPACITY: usize = 8;

/// The first few headers that were verified with one key set.
///
/// Only verified headers enter, so only the issuer can fill the memo. The memo is part of a key
/// set and is dropped with it, because it stores positions of keys.
#[derive(Default)]
pub(crate) struct HeaderMemo(Box<[OnceLock<KnownHeader>; CAPACITY]>);

impl HeaderMemo {
    /// Far longer than a header with an algorithm, a type and a key id.
    const MAX_BYTES: usize = 512;

    pub(crate) fn get(&self, encoded: &[u8]) -> Option<&KnownHeader> {
        let headers = self.0.iter().map_while(OnceLock::get);
        headers.into_iter().find(|header| *header.encoded == *encoded)
    }

    /// Adds a header, unless it is too long, already known, or the memo is full.
    pub(crate) fn insert(
        &self,
        encoded: &[u8],
        algorithm: Algorithm,
        key: usize,
        is_only_key: bool,
    ) {
        if encoded.len() > Self::MAX_BYTES || self.get(encoded).is_some() {
            return;
        }
        let mut header = KnownHeader { encoded: encoded.into(), algorithm, key, is_only_key };
        for slot in self.0.iter() {
            match slot.set(header) {
                Ok(()) => return,
                Err(rejected) => header = rejected,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_error(json: &str) -> TokenError {
        Header::parse(json.as_bytes()).unwrap_err()
    }

    #[test]
    fn alg_kid_and_typ_are_parsed_and_others_ignored() {
        let header =
            Header::parse(br#"{"x": {}, "typ": "at+jwt", "alg": "ES256", "kid": "1"}"#).unwrap();
        assert_eq!(header.algorithm, Algorithm::ES256);
        assert_eq!(header.key_id.as_deref(), Some("1"));
        assert_eq!(header.token_type.as_deref(), Some("at+jwt"));
    }

    #[test]
    fn unsupported_or_inexact_alg_is_rejected() {
        for invalid in
            ["none", "nOnE", "NONE", "rs256", "RS256\\u0000", "RS256 ", "ES256K", "ES512", ""]
        {
            assert_eq!(
                parse_error(&format!(r#"{{"alg": "{invalid}"}}"#)),
                TokenError::Algorithm,
                "{invalid}"
            );
        }
        for invalid in ["null", "true", "1", "[\"RS256\"]"] {
            assert_eq!(
                parse_error(&format!(r#"{{"alg": {invalid}}}"#)),
                TokenError::MalformedHeader,
                "{invalid}"
            );
        }
        assert_eq!(parse_error("{}"), TokenError::MalformedHeader);
        assert_eq!(parse_error("[\"alg\", \"RS256\"]"), TokenError::MalformedHeader);
    }

    #[test]
    fn crit_and_b64_are_rejected() {
        for crit in [r#""crit": []"#, r#""crit": ["exp"]"#, r#""crit": null"#, r#""b64": false"#] {
            assert_eq!(
                parse_error(&format!(r#"{{"alg": "RS256", {crit}}}"#)),
                TokenError::CriticalHeader
            );
        }
    }

    #[test]
    fn application_prefix_is_stripped_unless_another_slash_follows() {
        assert_eq!(strip_application_prefix("application/at+jwt"), "at+jwt");
        assert_eq!(strip_application_prefix("Application/at+jwt"), "at+jwt");
        assert_eq!(strip_application_prefix("at+jwt"), "at+jwt");
        assert_eq!(strip_application_prefix("application/x/y"), "application/x/y");
    }

    #[test]
    fn first_eight_headers_are_remembered_and_matched_in_full() {
        let memo = HeaderMemo::default();
        for number in 0..20_u8 {
            memo.insert(&[b'a', number], Algorithm::RS256, number.into(), true);
            memo.insert(&[b'a', number], Algorithm::HS256, 99, true);
        }
        memo.insert(&[b'x'; 513], Algorithm::RS256, 1, true);
        for number in 0..20_u8 {
            let known = memo.get(&[b'a', number]);
            let known = known.map(|header| (header.algorithm, header.key));
            let expected = (number < 8).then_some((Algorithm::RS256, number.into()));
            assert_eq!(known, expected);
        }
        assert!(memo.get(b"a").is_none() && memo.get(&[b'x'; 513]).is_none());
    }
}
