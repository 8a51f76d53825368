//! The id of an event in the JSON of a body.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::config_error::ConfigError;

/// The names of nested members.
#[derive(Debug)]
pub(crate) struct Pointer(Vec<Box<str>>);

/// serde_json rejects JSON with more levels.
const MAX_LEVELS: usize = 32;

/// The longest id, in bytes.
const MAX_ID: usize = 256;

impl Pointer {
    pub(crate) fn member(name: &str) -> Self {
        Self(vec![name.into()])
    }

    /// Parses a JSON pointer (RFC 6901 §3).
    pub(crate) fn parse(pointer: &str) -> Result<Self, ConfigError> {
        let invalid = || {
            ConfigError::invalid(
                "id_in_body must be a JSON pointer to a member, such as `/id` or `/event/id`",
            )
        };
        let tokens = pointer.strip_prefix('/').ok_or_else(invalid)?.split('/');
        let tokens = tokens.map(unescape).collect::<Option<Vec<_>>>().ok_or_else(invalid)?;
        if tokens.len() > MAX_LEVELS {
            return Err(invalid());
        }
        Ok(Self(tokens))
    }

    /// Returns the id in a body, or `None` if the body is not JSON, or has no id or an ambiguous
    /// one.
    pub(crate) fn find(&self, body: &[u8]) -> Option<Box<str>> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let found = Find(&self.0).deserialize(&mut json).ok()?;
        json.end().ok()?;
        found
    }
}

fn unescape(token: &str) -> Option<Box<str>> {
    let mut name = String::new();
    let mut rest = token.split('~');
    name.push_str(rest.next()?);
    for part in rest {
        let (escaped, part) = match (part.strip_prefix('0'), part.strip_prefix('1')) {
            (Some(part), _) => ('~', part),
            (_, Some(part)) => ('/', part),
            _ => return None,
        };
        name.push(escaped);
        name.push_str(part);
    }
    Some(name.into())
}

/// Finds the string to which these names lead.
struct Find<'n>(&'n [Box<str>]);

impl<'de> DeserializeSeed<'de> for Find<'_> {
    type Value = Option<Box<str>>;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Self::Value, D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Find<'_> {
    type Value = Option<Box<str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let Some((name, inner)) = self.0.split_first() else {
            while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(None);
        };
        let mut found = None;
        let mut count = 0_usize;
        while let Some(member) = members.next_key::<Cow<'_, str>>()? {
            if *member == **name {
                count += 1;
                found = members.next_value_seed(Find(inner))?;
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        // Parsers differ in which of two members they use.
        Ok(found.filter(|_| count == 1))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Self::Value, A::Error> {
        while values.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        let is_id = self.0.is_empty() && (1..=MAX_ID).contains(&text.len());
        Ok(is_id.then(|| text.into()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(pointer: &str, body: &str) -> Option<String> {
        Pointer::parse(pointer).unwrap().find(body.as_bytes()).map(Into::into)
    }

    #[test]
    fn id_has_from_1_to_256_bytes() {
        let body = |length: usize| format!(r#"{{"id":"{}"}}"#, "a".repeat(length));
        for (length, is_id) in [(0, false), (1, true), (256, true), (257, false)] {
            assert_eq!(find("/id", &body(length)).is_some(), is_id, "{length}");
        }
    }

    #[test]
    fn value_that_is_not_one_string_is_no_id() {
        for body in [
            "1",
            r#""evt_1""#,
            r#"["id","evt_1"]"#,
            r#"[{"id":"evt_1"}]"#,
            r#"{"ID":"evt_1"}"#,
            r#"{"id":1}"#,
            r#"{"id":-1}"#,
            r#"{"id":1.5}"#,
            r#"{"id":true}"#,
            r#"{"id":["evt_1"]}"#,
            r#"{"id":{"id":"evt_1"}}"#,
            r#"{"id":"evt_1","id":"evt_1"}"#,
            r#"{"id":"evt_1","i\u0064":1}"#,
            r#"{"id":1,"id":"evt_1"}"#,
            r#"{"id":"\ud800"}"#,
            r#"{"id":"evt_1"}{"#,
            "\u{feff}{\"id\":\"evt_1\"}",
        ] {
            assert_eq!(find("/id", body), None, "{body}");
        }
        assert!(Pointer::member("id").find(b"{\"id\":\"\xff\"}").is_none());
        assert_eq!(find("/id", " {\"id\" : \"evt_1\" } \n").unwrap(), "evt_1");
    }

    /// `~01` is `~1` and not `/` (RFC 6901 §4).
    #[test]
    fn escapes_of_a_pointer_are_decoded_once() {
        for (pointer, name) in
            [("/~01", "~1"), ("/~10", "/0"), ("/~0~1", "~/"), ("/", ""), ("/a b", "a b")]
        {
            let body = serde_json::json!({ name: "evt_1" }).to_string();
            assert_eq!(find(pointer, &body).as_deref(), Some("evt_1"), "{pointer}");
        }
    }
}
