//! Parsing of the claims that validation uses. Their types are enforced as RFC 7519 §4.1 requires.

use std::{borrow::Cow, fmt};

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use smallvec::{SmallVec, smallvec};

use super::{
    error::TokenError,
    jws::{
        json::{DepthLimit, MemberNames, Presence, Text},
        members::{Members, Value},
    },
};
use crate::principal::Scopes;

/// The claims of a token whose signature is verified.
#[derive(Debug, Default)]
pub(crate) struct Claims<'a> {
    pub(crate) issuer: Option<Cow<'a, str>>,
    /// The subject, with the position of its claim in [`ClaimNames::subject`].
    pub(crate) subject: Option<(usize, Cow<'a, str>)>,
    pub(crate) audience: SmallVec<[Cow<'a, str>; 2]>,
    pub(crate) expires_at: Option<f64>,
    pub(crate) not_before: Option<f64>,
    pub(crate) issued_at: Option<f64>,
    pub(crate) scopes: ScopeClaim<'a>,
    /// The JSON object of `cnf`, which names the key of the caller (RFC 7800 §3.1).
    pub(crate) confirmation: Option<&'a str>,
    /// The positions in [`ClaimNames::required`] of the claims that are present and not null.
    pub(crate) present: Vec<usize>,
}

/// The names of the configurable claims.
#[derive(Clone, Copy)]
pub(crate) struct ClaimNames<'n> {
    /// The path to the scopes: the name of a claim, then the names of nested members, if any.
    pub(crate) scopes: &'n [Box<str>],
    pub(crate) required: &'n [Box<str>],
    /// The claims that can contain the subject, in order of preference.
    pub(crate) subject: &'n [Box<str>],
    /// Whether `cnf` is read.
    pub(crate) confirmation: bool,
}

impl<'a> Claims<'a> {
    /// Parses a claims set into `self`, which must be empty.
    pub(crate) fn read(&mut self, json: &'a str, names: ClaimNames<'_>) -> Result<(), TokenError> {
        let mut members = Members::new(json);
        while let Some((name, value)) = members.next()? {
            let is = |claim: &str| claim.as_bytes() == &*name;
            let position = |claims: &[Box<str>]| claims.iter().position(|claim| is(claim));
            let mut presence = Presence::Present;
            match &*name {
                b"iss" => self.issuer = Some(members.text(value)?),
                b"sub" => {
                    presence = self.add_subject(position(names.subject), members.text(value)?);
                }
                b"aud" => self.audience = audience(&mut members, value)?,
                b"exp" => self.expires_at = Some(date(&mut members, value)?),
                b"nbf" => self.not_before = Some(date(&mut members, value)?),
                b"iat" => self.issued_at = Some(date(&mut members, value)?),
                b"cnf" if names.confirmation => {
                    self.confirmation = Some(members.object(value)?);
                }
                other => match (position(names.subject), names.scopes) {
                    (Some(position), _) => {
                        presence = self.add_subject(Some(position), members.text(value)?);
                    }
                    // Both must be strings (RFC 7519 §4.1.7, RFC 8693 §4.3). This is checked only
                    // if they are required.
                    _ if matches!(other, b"jti" | b"client_id")
                        && position(names.required).is_some() =>
                    {
                        presence = Presence::of_text(&members.text(value)?);
                    }
                    (None, [first, path @ ..]) if is(first) => {
                        self.scopes = scopes(&mut members, value, path)?;
                    }
                    _ => presence = members.skip(value)?,
                },
            }
            if presence != Presence::Absent
                && let Some(position) = position(names.required)
            {
                self.present.push(position);
            }
        }
        Ok(())
    }

    /// Sets the subject, unless a preferred claim has set it already.
    fn add_subject(&mut self, position: Option<usize>, subject: Cow<'a, str>) -> Presence {
        let presence = Presence::of_text(&subject);
        if let Some(position) = position.filter(|_| presence != Presence::Absent)
            && self.subject.as_ref().is_none_or(|(current, _)| position < *current)
        {
            self.subject = Some((position, subject));
        }
        presence
    }
}

fn audience<'a>(
    members: &mut Members<'a>,
    value: Value<'a>,
) -> Result<SmallVec<[Cow<'a, str>; 2]>, TokenError> {
    match value {
        Value::Text(one) => Ok(smallvec![Cow::Borrowed(one)]),
        Value::Number(_) => Err(TokenError::MalformedClaims),
        Value::Unread => members.value().map(|Audience(audience)| audience),
    }
}

#[allow(clippy::cast_precision_loss)] // exact, because `Value::Number` is below 10^15
fn date(members: &mut Members<'_>, value: Value<'_>) -> Result<f64, TokenError> {
    match value {
        Value::Number(date) => Ok(date as f64),
        Value::Text(_) => Err(TokenError::MalformedClaims),
        Value::Unread => members.value().map(|NumericDate(date)| date),
    }
}

fn scopes<'a>(
    members: &mut Members<'a>,
    value: Value<'a>,
    path: &[Box<str>],
) -> Result<ScopeClaim<'a>, TokenError> {
    match value {
        Value::Text(text) if path.is_empty() => Ok(ScopeClaim::Delimited(text)),
        Value::Unread => members.value_as(ScopesPath(path)).map(ScopeClaim::Parsed),
        Value::Text(_) | Value::Number(_) => Err(TokenError::MalformedClaims),
    }
}

/// The scopes of a token.
#[derive(Debug)]
pub(crate) enum ScopeClaim<'a> {
    /// A space-delimited string that is not split yet.
    Delimited(&'a str),
    Parsed(Scopes),
}

impl Default for ScopeClaim<'_> {
    fn default() -> Self {
        Self::Parsed(Scopes::default())
    }
}

/// The `aud` claim: a string or an array of strings (RFC 7519 §4.1.3).
struct Audience<'a>(SmallVec<[Cow<'a, str>; 2]>);

impl<'de> Deserialize<'de> for Audience<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AudienceVisitor;

        impl<'de> Visitor<'de> for AudienceVisitor {
            type Value = Audience<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of strings")
            }

            fn visit_borrowed_str<E: Error>(self, one: &'de str) -> Result<Audience<'de>, E> {
                Ok(Audience(smallvec![Cow::Borrowed(one)]))
            }

            fn visit_str<E: Error>(self, one: &str) -> Result<Audience<'de>, E> {
                Ok(Audience(smallvec![Cow::Owned(one.to_owned())]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Audience<'de>, A::Error> {
                let mut audience = SmallVec::new();
                while let Some(Text(one)) = items.next_element()? {
                    audience.push(one);
                }
                Ok(Audience(audience))
            }
        }

        deserializer.deserialize_any(AudienceVisitor)
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

/// Parses the scopes at the end of a path: a space-delimited string, or an array of scopes.
#[derive(Clone, Copy)]
struct ScopesPath<'n>(&'n [Box<str>]);

impl<'de> DeserializeSeed<'de> for ScopesPath<'_> {
    type Value = Scopes;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scopes, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ScopesPath<'_> {
    type Value = Scopes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.first() {
            Some(name) => write!(f, "an object with the member {name:?}"),
            None => f.write_str("a string or an array of strings"),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Scopes, E> {
        match self.0 {
            [] => Ok(Scopes::from_delimited(text)),
            _ => Err(E::invalid_type(serde::de::Unexpected::Str("a string"), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Scopes, A::Error> {
        if !self.0.is_empty() {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self));
        }
        let mut scopes = Vec::new();
        while let Some(Text(scope)) = items.next_element()? {
            scopes.push(scope);
        }
        Ok(scopes.into_iter().collect())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scopes, A::Error> {
        let Some((first, path)) = self.0.split_first() else {
            map.next_entry::<IgnoredAny, IgnoredAny>()?;
            return Err(A::Error::invalid_type(serde::de::Unexpected::Map, &self));
        };
        let (mut scopes, mut names) = (Scopes::default(), MemberNames::default());
        while let Some(name) = map.next_key::<Text<'_>>()? {
            if *name.0 == **first {
                scopes = map.next_value_seed(ScopesPath(path))?;
            } else {
                map.next_value_seed(DepthLimit::MAX)?;
            }
            names.add(&name.into_bytes());
        }
        names.check_unique()?;
        Ok(scopes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<'a>(json: &'a str, scopes: &[&str]) -> Result<Claims<'a>, TokenError> {
        let scopes: Vec<Box<str>> = scopes.iter().map(|name| Box::from(*name)).collect();
        let names = ClaimNames {
            scopes: &scopes,
            required: &["sid".into()],
            subject: &["sub".into()],
            confirmation: true,
        };
        let mut claims = Claims::default();
        claims.read(json, names).map(|()| claims)
    }

    #[test]
    fn claim_of_wrong_type_is_rejected() {
        for invalid in [
            r#"{"exp": "4102444800"}"#,
            r#"{"exp": null}"#,
            r#"{"exp": -1}"#,
            r#"{"exp": -0}"#,
            r#"{"exp": 1e400}"#,
            r#"{"exp": 9007199254740992}"#,
            r#"{"exp": 18446744073709551616}"#,
            r#"{"nbf": true}"#,
            r#"{"nbf": {}}"#,
            r#"{"iss": ["a"]}"#,
            r#"{"iss": null}"#,
            r#"{"aud": null}"#,
            r#"{"aud": [null]}"#,
            r#"{"aud": {"a": 1}}"#,
            r#"{"sub": 1}"#,
            r#"{"scope": 1}"#,
            r#"{"scope": ["a", 1]}"#,
            r#"{"scope": {}}"#,
            r#"{"sub": "a", "sub": "b"}"#,
            r#"{"x": {"a": 1, "a": 2}}"#,
            r#"{"aud": 1}"#,
            r#"{"cnf": null}"#,
            r#"{"cnf": "jkt"}"#,
            r#"{"cnf": 1}"#,
            r#"{"cnf": []}"#,
            r#"{"cnf": [{}]}"#,
            r#"{"cnf": {}, "cnf": {}}"#,
            r#"{"cnf": {"jkt": "a", "jkt": "b"}}"#,
            r#"{"cnf": {"jkt": "a", "\u006akt": "b"}}"#,
            "[]",
            "42",
            "null",
            "",
        ] {
            assert_eq!(
                parse(invalid, &["scope"]).unwrap_err(),
                TokenError::MalformedClaims,
                "{invalid}"
            );
        }
        let claims =
            parse(r#"{"exp": 1.5, "\u0069ss": "i", "aud": ["a", "b"]}"#, &["scope"]).unwrap();
        assert_eq!(claims.expires_at, Some(1.5));
        assert_eq!(claims.issuer.as_deref(), Some("i"));
        assert_eq!(claims.audience[..], ["a", "b"]);
    }

    #[test]
    fn scopes_are_read_from_the_configured_path() {
        let scopes = |json, path: &[&str]| {
            let scopes = match parse(json, path).unwrap().scopes {
                ScopeClaim::Delimited(text) => Scopes::from_delimited(text),
                ScopeClaim::Parsed(scopes) => scopes,
            };
            scopes.iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(scopes(r#"{"scope": "a b"}"#, &["scope"]), ["a", "b"]);
        assert_eq!(scopes(r#"{"scope": "a b", "scp": ["c", "d e"]}"#, &["scp"]), ["c", "d e"]);
        let nested = r#"{"realm_access": {"x": 1, "roles": ["admin"]}, "roles": ["no"]}"#;
        assert_eq!(scopes(nested, &["realm_access", "roles"]), ["admin"]);
        assert!(scopes(nested, &["realm_access", "none"]).is_empty());
        assert!(
            scopes("{}", &["scope"]).is_empty()
                && scopes(r#"{"scope": ""}"#, &["scope"]).is_empty()
        );
        for invalid in [
            r#"{"r": "admin"}"#,
            r#"{"r": 1}"#,
            r#"{"r": ["admin"]}"#,
            r#"{"r": {"roles": ["a"], "roles": []}}"#,
            r#"{"r": {"roles": ["a"], "rol\u0065s": []}}"#,
            r#"{"r": {"x": 1, "x": 2, "roles": ["a"]}}"#,
        ] {
            let error = parse(invalid, &["r", "roles"]).unwrap_err();
            assert_eq!(error, TokenError::MalformedClaims, "{invalid}");
        }
    }

    #[test]
    fn confirmation_is_the_json_object_as_sent() {
        for (json, object) in [
            (r#"{"cnf":{"jkt":"a"},"x":1}"#, r#"{"jkt":"a"}"#),
            (
                r#"{"x": 1, "cnf" : { "jwk": {"kty": "EC", "x": "}"} } }"#,
                r#"{ "jwk": {"kty": "EC", "x": "}"} }"#,
            ),
            (r#"{"cnf": {}}"#, "{}"),
            (r#"{"c\u006ef": {"kid": "\u0061"}}"#, r#"{"kid": "\u0061"}"#),
        ] {
            assert_eq!(parse(json, &["scope"]).unwrap().confirmation, Some(object), "{json}");
        }
        assert_eq!(parse(r#"{"x": {"cnf": {}}}"#, &["scope"]).unwrap().confirmation, None);
    }

    #[test]
    fn required_claim_that_is_missing_or_null_is_not_present() {
        for json in [r#"{"sid": "1"}"#, r#"{"sid": 1}"#, r#"{"sid": 1.5}"#, r#"{"sid": [null]}"#] {
            assert_eq!(parse(json, &["scope"]).unwrap().present, [0], "{json}");
        }
        assert!(parse(r#"{"sid": null}"#, &["scope"]).unwrap().present.is_empty());
        assert!(parse(r#"{"x": {"sid": "1"}}"#, &["scope"]).unwrap().present.is_empty());
    }
}
