//! The claims that validation reads (RFC 7519 §4.1), typed as strictly as the RFC types them.

use std::{borrow::Cow, fmt};

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use smallvec::{SmallVec, smallvec};

use super::{
    error::TokenError,
    jws::{
        json::{Any, Levels, Names, Text},
        members::{Members, Value},
    },
};
use crate::principal::Scopes;

/// The claims of a token whose signature held.
#[derive(Debug, Default)]
pub(crate) struct Claims<'a> {
    pub(crate) issuer: Option<Cow<'a, str>>,
    /// Who it is about, and the place of the claim that says so among those that may.
    pub(crate) subject: Option<(usize, Cow<'a, str>)>,
    pub(crate) audience: SmallVec<[Cow<'a, str>; 2]>,
    pub(crate) expires_at: Option<f64>,
    pub(crate) not_before: Option<f64>,
    pub(crate) issued_at: Option<f64>,
    pub(crate) scopes: Granted<'a>,
    /// Which of the required claims are there, by position, and not null.
    pub(crate) present: Vec<usize>,
}

/// What to look for besides the registered claims.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'w> {
    /// Where the scopes are: the name of a claim, or names of nested objects that lead there.
    pub(crate) scopes: &'w [Box<str>],
    pub(crate) required: &'w [Box<str>],
    /// The claims that may name the subject, the best first.
    pub(crate) subject: &'w [Box<str>],
}

impl<'a> Claims<'a> {
    /// Reads a claims set into claims that are empty as yet.
    pub(crate) fn read(&mut self, json: &'a str, wanted: Wanted<'_>) -> Result<(), TokenError> {
        let mut members = Members::new(json);
        while let Some((name, value)) = members.next()? {
            let is = |claim: &str| claim.as_bytes() == &*name;
            let place = |claims: &[Box<str>]| claims.iter().position(|claim| is(claim));
            let mut read = Any::Value;
            match &*name {
                b"iss" => self.issuer = Some(members.text(value)?),
                b"sub" => read = self.add_subject(place(wanted.subject), members.text(value)?),
                b"aud" => self.audience = audience(&mut members, value)?,
                b"exp" => self.expires_at = Some(date(&mut members, value)?),
                b"nbf" => self.not_before = Some(date(&mut members, value)?),
                b"iat" => self.issued_at = Some(date(&mut members, value)?),
                other => match (place(wanted.subject), wanted.scopes) {
                    (Some(place), _) => read = self.add_subject(Some(place), members.text(value)?),
                    // Strings both (RFC 7519 §4.1.7, RFC 8693 §4.3), where somebody relies on them.
                    _ if matches!(other, b"jti" | b"client_id")
                        && place(wanted.required).is_some() =>
                    {
                        read = Any::of_text(&members.text(value)?);
                    }
                    (None, [first, path @ ..]) if is(first) => {
                        self.scopes = scopes(&mut members, value, path)?;
                    }
                    _ => read = members.skip(value)?,
                },
            }
            if read != Any::Null
                && let Some(place) = place(wanted.required)
            {
                self.present.push(place);
            }
        }
        Ok(())
    }

    /// Keeps the subject that is named in the better place.
    fn add_subject(&mut self, place: Option<usize>, name: Cow<'a, str>) -> Any {
        let value = Any::of_text(&name);
        if let Some(place) = place.filter(|_| value != Any::Null)
            && self.subject.as_ref().is_none_or(|(known, _)| place < *known)
        {
            self.subject = Some((place, name));
        }
        value
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

#[allow(clippy::cast_precision_loss)] // below 10^15 there is none
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
) -> Result<Granted<'a>, TokenError> {
    match value {
        Value::Text(text) if path.is_empty() => Ok(Granted::Delimited(text)),
        Value::Unread => members.value_as(ScopesAt(path)).map(Granted::Scopes),
        Value::Text(_) | Value::Number(_) => Err(TokenError::MalformedClaims),
    }
}

/// What the caller was granted.
#[derive(Debug)]
pub(crate) enum Granted<'a> {
    /// As it is written: scopes between spaces.
    Delimited(&'a str),
    Scopes(Scopes),
}

impl Default for Granted<'_> {
    fn default() -> Self {
        Self::Scopes(Scopes::default())
    }
}

/// A string, or an array of strings (RFC 7519 §4.1.3).
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

/// Seconds since 1970, whole or not (RFC 7519 §2). Numbers that JSON parsers do not agree on are
/// none: I-JSON (RFC 7493 §2.2) draws the line at 2^53.
struct NumericDate(f64);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const LIMIT: f64 = 9_007_199_254_740_992.0;

        match f64::deserialize(deserializer)? {
            date if date.is_sign_positive() && date < LIMIT => Ok(Self(date)),
            _ => Err(D::Error::custom("no date")),
        }
    }
}

/// The scopes at the end of a path: a space-delimited string, or an array with one scope an item.
#[derive(Clone, Copy)]
struct ScopesAt<'w>(&'w [Box<str>]);

impl<'de> DeserializeSeed<'de> for ScopesAt<'_> {
    type Value = Scopes;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scopes, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ScopesAt<'_> {
    type Value = Scopes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.first() {
            Some(name) => write!(f, "an object with {name:?}"),
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
        let (mut scopes, mut names) = (Scopes::default(), Names::default());
        while let Some(name) = map.next_key::<Text<'_>>()? {
            if *name.0 == **first {
                scopes = map.next_value_seed(ScopesAt(path))?;
            } else {
                map.next_value_seed(Levels::MAX)?;
            }
            names.add(&name.into_bytes());
        }
        names.check()?;
        Ok(scopes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<'a>(json: &'a str, scopes: &[&str]) -> Result<Claims<'a>, TokenError> {
        let scopes: Vec<Box<str>> = scopes.iter().map(|name| Box::from(*name)).collect();
        let wanted =
            Wanted { scopes: &scopes, required: &["sid".into()], subject: &["sub".into()] };
        let mut claims = Claims::default();
        claims.read(json, wanted).map(|()| claims)
    }

    #[test]
    fn claims_are_typed() {
        for odd in [
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
            "[]",
            "42",
            "null",
            "",
        ] {
            assert_eq!(parse(odd, &["scope"]).unwrap_err(), TokenError::MalformedClaims, "{odd}");
        }
        let claims =
            parse(r#"{"exp": 1.5, "\u0069ss": "i", "aud": ["a", "b"]}"#, &["scope"]).unwrap();
        assert_eq!(claims.expires_at, Some(1.5));
        assert_eq!(claims.issuer.as_deref(), Some("i"));
        assert_eq!(claims.audience[..], ["a", "b"]);
    }

    #[test]
    fn scopes_are_where_they_are_said_to_be() {
        let scopes = |json, path: &[&str]| {
            let scopes = match parse(json, path).unwrap().scopes {
                Granted::Delimited(text) => Scopes::from_delimited(text),
                Granted::Scopes(scopes) => scopes,
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
        for odd in [
            r#"{"r": "admin"}"#,
            r#"{"r": 1}"#,
            r#"{"r": ["admin"]}"#,
            r#"{"r": {"roles": ["a"], "roles": []}}"#,
            r#"{"r": {"roles": ["a"], "rol\u0065s": []}}"#,
            r#"{"r": {"x": 1, "x": 2, "roles": ["a"]}}"#,
        ] {
            let refused = parse(odd, &["r", "roles"]).unwrap_err();
            assert_eq!(refused, TokenError::MalformedClaims, "{odd}");
        }
    }

    #[test]
    fn a_required_claim_is_there_and_not_null() {
        for json in [r#"{"sid": "1"}"#, r#"{"sid": 1}"#, r#"{"sid": 1.5}"#, r#"{"sid": [null]}"#] {
            assert_eq!(parse(json, &["scope"]).unwrap().present, [0], "{json}");
        }
        assert!(parse(r#"{"sid": null}"#, &["scope"]).unwrap().present.is_empty());
        assert!(parse(r#"{"x": {"sid": "1"}}"#, &["scope"]).unwrap().present.is_empty());
    }
}
