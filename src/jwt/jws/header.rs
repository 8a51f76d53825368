//! The JOSE header (RFC 7515 §4).

use std::{borrow::Cow, fmt, marker::PhantomData};

use jsonwebtoken::Algorithm;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::json::{self, DepthLimit, MemberNames, Text};
use crate::jwt::error::TokenError;

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
            json::from_slice(json, PhantomData).map_err(|_| TokenError::MalformedHeader)?;
        if raw.has_critical_extension {
            return Err(TokenError::CriticalHeader);
        }
        let algorithm = raw.alg.ok_or(TokenError::MalformedHeader)?;
        let algorithm = parse_algorithm(&algorithm).ok_or(TokenError::Algorithm)?;
        Ok(Self { algorithm, key_id: raw.kid, token_type: raw.typ })
    }
}

/// Returns the algorithm with this case-sensitive name.
///
/// `Ed25519` (RFC 9864) is the same as `EdDSA` here, because Ed25519 is the only supported Edwards
/// curve.
fn parse_algorithm(name: &str) -> Option<Algorithm> {
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
                    names.add(&name.into_bytes());
                }
                names.check_unique()?;
                Ok(header)
            }
        }

        deserializer.deserialize_map(RawHeaderVisitor)
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
}
