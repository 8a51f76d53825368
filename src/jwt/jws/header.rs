//! The JOSE header (RFC 7515 §4).

use std::{borrow::Cow, fmt, marker::PhantomData};

use jsonwebtoken::Algorithm;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::json::{self, Levels, Names, Text};
use crate::jwt::error::TokenError;

/// What we read of a header. `jku`, `x5u`, `x5c` and `jwk` are not: a token does not choose its key
/// (RFC 8725 §3.10).
#[derive(Debug)]
pub(crate) struct Header<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<Cow<'a, str>>,
    pub(crate) token_type: Option<Cow<'a, str>>,
}

impl<'a> Header<'a> {
    pub(crate) fn parse(json: &'a [u8]) -> Result<Self, TokenError> {
        let members: Members<'a> =
            json::from_slice(json, PhantomData).map_err(|_| TokenError::MalformedHeader)?;
        if members.extended {
            return Err(TokenError::CriticalHeader);
        }
        let algorithm = members.alg.ok_or(TokenError::MalformedHeader)?;
        let algorithm = algorithm_named(&algorithm).ok_or(TokenError::Algorithm)?;
        Ok(Self { algorithm, key_id: members.kid, token_type: members.typ })
    }
}

/// An algorithm by its name, which is case-sensitive. `Ed25519` is the name that RFC 9864 gives to
/// what `EdDSA` means with an Ed25519 key, the only kind of Edwards key there is here.
pub(crate) fn algorithm_named(name: &str) -> Option<Algorithm> {
    match name {
        "Ed25519" => Some(Algorithm::EdDSA),
        name => name.parse().ok(),
    }
}

#[derive(Default)]
struct Members<'a> {
    alg: Option<Cow<'a, str>>,
    kid: Option<Cow<'a, str>>,
    typ: Option<Cow<'a, str>>,
    /// An extension that has to be understood: `crit`, even an empty one, or RFC 7797's `b64`.
    extended: bool,
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JOSE header")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let (mut members, mut names) = (Members::default(), Names::default());
                while let Some(name) = map.next_key::<Text<'_>>()? {
                    match &*name.0 {
                        "alg" => members.alg = Some(map.next_value::<Text<'_>>()?.0),
                        "kid" => members.kid = Some(map.next_value::<Text<'_>>()?.0),
                        "typ" => members.typ = Some(map.next_value::<Text<'_>>()?.0),
                        other => {
                            members.extended |= matches!(other, "crit" | "b64");
                            map.next_value_seed(Levels::MAX)?;
                        }
                    }
                    names.add(&name.into_bytes());
                }
                names.check()?;
                Ok(members)
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &str) -> TokenError {
        Header::parse(json.as_bytes()).unwrap_err()
    }

    #[test]
    fn reads_what_it_needs() {
        let header =
            Header::parse(br#"{"x": {}, "typ": "at+jwt", "alg": "ES256", "kid": "1"}"#).unwrap();
        assert_eq!(header.algorithm, Algorithm::ES256);
        assert_eq!(header.key_id.as_deref(), Some("1"));
        assert_eq!(header.token_type.as_deref(), Some("at+jwt"));
    }

    #[test]
    fn algorithms_are_known_by_their_exact_names() {
        for odd in
            ["none", "nOnE", "NONE", "rs256", "RS256\\u0000", "RS256 ", "ES256K", "ES512", ""]
        {
            assert_eq!(refused(&format!(r#"{{"alg": "{odd}"}}"#)), TokenError::Algorithm, "{odd}");
        }
        for odd in ["null", "true", "1", "[\"RS256\"]"] {
            assert_eq!(
                refused(&format!(r#"{{"alg": {odd}}}"#)),
                TokenError::MalformedHeader,
                "{odd}"
            );
        }
        assert_eq!(refused("{}"), TokenError::MalformedHeader);
        assert_eq!(refused("[\"alg\", \"RS256\"]"), TokenError::MalformedHeader);
    }

    #[test]
    fn extensions_are_refused() {
        for crit in [r#""crit": []"#, r#""crit": ["exp"]"#, r#""crit": null"#, r#""b64": false"#] {
            assert_eq!(
                refused(&format!(r#"{{"alg": "RS256", {crit}}}"#)),
                TokenError::CriticalHeader
            );
        }
    }
}
