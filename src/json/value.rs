//! Reads JSON values that were checked before.

use std::{borrow::Cow, iter};

use memchr::memchr;
use smallvec::{SmallVec, smallvec};

use super::{parser::Parser, strict::Text};

/// Returns the text of a string, or `None` for other values.
pub(crate) fn text(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(json).ok().map(|Text(text)| text)
}

/// Returns the text of a string, or the strings in an array. Other values and items are left out.
pub(crate) fn texts(json: &str) -> SmallVec<[Cow<'_, str>; 8]> {
    match text(json) {
        Some(one) => smallvec![one],
        None => items(json).filter_map(text).collect(),
    }
}

/// Returns whether a value is a string or an array of strings.
pub(crate) fn is_texts(json: &str) -> bool {
    text(json).is_some() || (json.starts_with('[') && items(json).all(|item| text(item).is_some()))
}

/// Returns the JSON of the items of an array. Other values have no items.
pub(crate) fn items(json: &str) -> impl Iterator<Item = &str> {
    let mut parser = Parser::new(json);
    let mut has_next = parser.expect(b'[').is_some() && parser.peek() != Some(b']');
    iter::from_fn(move || {
        let item = if has_next { parser.parse_value() } else { None };
        has_next = parser.expect(b',').is_some();
        item
    })
}

/// Returns the names of the members of an object. Other values have no members.
pub(crate) fn names(json: &str) -> SmallVec<[Cow<'_, str>; 8]> {
    members(json).map(|(name, _)| name).collect()
}

/// Returns the JSON of a member of an object. Other values have no members.
pub(crate) fn member<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    members(json).find(|(other, _)| other == name).map(|(_, value)| value)
}

/// Returns the names and the JSON of the members of an object. Other values have no members.
fn members(json: &str) -> impl Iterator<Item = (Cow<'_, str>, &str)> {
    let mut parser = Parser::new(json);
    let mut has_next = parser.expect(b'{').is_some() && parser.peek() != Some(b'}');
    iter::from_fn(move || {
        let member = has_next.then(|| Some((parser.parse_name()?, parser.parse_value()?)));
        has_next = parser.expect(b',').is_some();
        member.flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_one_string_or_the_strings_in_an_array() {
        for (json, expected) in [
            (r#""a b""#, vec!["a b"]),
            (r#"["a", 1, "b\n", ["c"], {"d": "e"}, null ,"\u0066"]"#, vec!["a", "b\n", "f"]),
            ("[ ]", vec![]),
            ("[]", vec![]),
            ("[1]", vec![]),
            (r#"{"a": "b"}"#, vec![]),
            ("null", vec![]),
            ("1.5", vec![]),
        ] {
            assert_eq!(texts(json).as_slice(), expected, "{json}");
        }
    }

    #[test]
    fn items_and_members_are_json_as_sent() {
        let items: Vec<_> = items("[ 1 , [2,3],\"\\\"\" ,{\"a\": 4} ]").collect();
        assert_eq!(items, ["1", "[2,3]", "\"\\\"\"", "{\"a\": 4}"]);
        let object = "{ \"a\\n\" : [1] ,\"b\":{\"c\": 2}, \"d\":3}";
        assert_eq!(member(object, "a\n"), Some("[1]"));
        assert_eq!(member(object, "b"), Some("{\"c\": 2}"));
        assert_eq!(member(object, "d"), Some("3"));
        assert_eq!(names(object).as_slice(), ["a\n", "b", "d"]);
        assert!(["{ }", "{}", "[\"a\"]", "\"a\"", "1"].iter().all(|json| names(json).is_empty()));
        for (json, name) in [(object, "c"), (object, ""), ("{}", "a"), ("[1]", "0"), ("1", "1")] {
            assert_eq!(member(json, name), None, "{json} {name}");
        }
    }
}
