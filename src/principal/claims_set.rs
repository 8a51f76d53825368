use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::{claims_deserializer::ClaimsDeserializer, claims_error::ClaimsError};
use crate::{
    config_error::ConfigError,
    json::{
        members::Members,
        value::{items, member},
    },
};

/// The claims of a caller: a JSON object (RFC 7519 §4), and the position of each claim in it.
#[derive(Clone)]
pub(crate) struct ClaimsSet {
    json: Box<str>,
    // In a box, so that callers without claims take little memory.
    members: Box<Members>,
}

/// A step of a path does not fit the value that it leads into.
#[derive(Debug)]
pub(crate) struct NotNested;

impl ClaimsSet {
    /// Parses a JSON object. See [`Members::parse`] for what it rejects.
    pub(crate) fn parse(json: Box<str>) -> Option<Self> {
        let members = Box::new(Members::parse(&json)?);
        Some(Self { json, members })
    }

    /// Returns the JSON object as it was sent.
    #[cfg(feature = "revocation")]
    pub(crate) fn as_json(&self) -> &str {
        &self.json
    }

    /// Returns the JSON of a top-level claim.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.members.get(&self.json, name)
    }

    /// Returns the JSON of a claim. A path that starts with `/` is a JSON Pointer (RFC 6901), any
    /// other path is the name of a top-level claim.
    pub(crate) fn find(&self, path: &str) -> Result<Option<&str>, NotNested> {
        if !path.starts_with('/') {
            return Ok(self.get(path));
        }
        let mut steps = steps(path);
        let first = steps.next().and_then(|name| self.get(&name));
        steps.try_fold(first, |value, step| match value {
            Some(json) => child(json, &step),
            None => Ok(None),
        })
    }

    /// Returns whether a name that is not in the claims looks like a path into one of them, such as
    /// `realm_access.roles`.
    pub(crate) fn is_nested_name(&self, name: &str) -> bool {
        let first = name.find(['.', '/']).and_then(|end| name.get(..end));
        first.and_then(|first| self.get(first)).is_some_and(|json| json.starts_with('{'))
    }

    /// Returns the names of the top-level claims, and the JSON of each.
    #[cfg(feature = "oidc-login")]
    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        self.members.iter(&self.json)
    }

    /// Deserializes the claims.
    pub(crate) fn deserialize<'a, C: Deserialize<'a>>(&'a self) -> Result<C, ClaimsError> {
        C::deserialize(ClaimsDeserializer::new(&self.json, self.members.iter(&self.json)))
            .map_err(ClaimsError::from)
    }

    /// Returns the size of the referenced memory, in bytes, with a reserve for the types into which
    /// the claims are deserialized later.
    #[cfg(feature = "token-cache")]
    pub(crate) fn heap_bytes(&self) -> usize {
        3 * self.json.len() + self.members.heap_bytes()
    }
}

/// The order of members, white space and escapes do not matter. Numbers are compared as serde_json
/// compares them: large ones are rounded.
impl PartialEq for ClaimsSet {
    fn eq(&self, other: &Self) -> bool {
        let value = |claims: &Self| serde_json::from_str::<Value>(&claims.json);
        let is_equal = || Some(value(self).ok()? == value(other).ok()?);
        self.json == other.json || is_equal().unwrap_or(false)
    }
}

/// Returns the name of the top-level claim of a path, and the steps into it.
pub(crate) fn steps(path: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let (name, pointer) = match path.strip_prefix('/') {
        Some(pointer) => (None, Some(pointer)),
        None => (Some(Cow::Borrowed(path)), None),
    };
    name.into_iter().chain(pointer.into_iter().flat_map(|pointer| pointer.split('/')).map(unescape))
}

/// Checks the path to a claim: a name, or a JSON Pointer.
pub(crate) fn check_path(path: &str) -> Result<(), ConfigError> {
    if path.is_empty() {
        return Err(ConfigError::missing(
            "the name of a claim is empty: name the claim, or give the JSON Pointer to it",
        ));
    }
    let Some(pointer) = path.strip_prefix('/') else { return Ok(()) };
    let is_escaped = |rest: &str| rest.starts_with(['0', '1']);
    let is_valid = |step: &str| !step.is_empty() && step.split('~').skip(1).all(is_escaped);
    match pointer.split('/').all(is_valid) {
        true => Ok(()),
        false => Err(ConfigError::invalid(format!(
            "the path {path:?} to a claim is not a JSON Pointer to a name: give each step a name, \
             and write `~` as `~0` and a slash in a name as `~1` (RFC 6901)"
        ))),
    }
}

/// Checks the name of a claim that cannot be nested.
#[cfg(feature = "jwt")]
pub(crate) fn check_name(name: &str, instead: &str) -> Result<(), ConfigError> {
    if name.starts_with('/') {
        return Err(ConfigError::conflict(format!(
            "{name:?} is a JSON Pointer, but only the names of top-level claims are accepted here: \
             {instead}"
        )));
    }
    check_path(name)
}

/// Decodes a step of a JSON Pointer (RFC 6901 §4).
fn unescape(step: &str) -> Cow<'_, str> {
    if step.contains('~') {
        Cow::Owned(step.replace("~1", "/").replace("~0", "~"))
    } else {
        Cow::Borrowed(step)
    }
}

/// Returns the member or the item that a step of a JSON Pointer names.
fn child<'a>(json: &'a str, step: &str) -> Result<Option<&'a str>, NotNested> {
    match json.as_bytes() {
        [b'{', ..] => Ok(member(json, step)),
        b"null" => Ok(None),
        [b'[', ..] => {
            let is_index = step == "0" || !step.starts_with('0');
            let is_index = is_index && step.bytes().all(|byte| byte.is_ascii_digit());
            let index = step.parse::<usize>().ok().filter(|_| is_index).ok_or(NotNested)?;
            Ok(items(json).nth(index))
        }
        _ => Err(NotNested),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Map;

    use super::*;
    use crate::json::value::text;

    fn parse(json: &str) -> ClaimsSet {
        ClaimsSet::parse(json.into()).unwrap()
    }

    #[test]
    fn path_is_a_name_or_a_json_pointer() {
        let claims = parse(
            r#"{"a": {"b/c": ["x", {"d": 1}], "": 2}, "a.b": 3, "/a": 4, "~": {"~1": 5}, "\u0065": 6}"#,
        );
        for (path, expected) in [
            ("a.b", Some("3")),
            ("e", Some("6")),
            ("/e", Some("6")),
            ("/~1a", Some("4")),
            ("/a/b~1c/0", Some("\"x\"")),
            ("/a/b~1c/1/d", Some("1")),
            ("/a/b~1c/2", None),
            ("/a/", Some("2")),
            ("/~0/~01", Some("5")),
            ("/a/none", None),
            ("/none/none", None),
            ("\\u0065", None),
            ("", None),
            ("/", None),
            ("none", None),
        ] {
            assert_eq!(claims.find(path).unwrap(), expected, "{path}");
        }
        assert_eq!(claims.find("/a").unwrap(), claims.get("a"));
        for into_scalar in ["/a.b/c", "/a/b~1c/x", "/a/b~1c/00", "/a/b~1c/+1", "/a/b~1c/-"] {
            assert!(claims.find(into_scalar).is_err(), "{into_scalar}");
        }
    }

    /// A JSON text with escapes and white space that a serializer would not write.
    fn text_of(value: &Value, escape: bool) -> String {
        let string = |text: &str| match (escape, text.chars().next()) {
            (true, Some(first)) if u32::from(first) < 0x1_0000 => {
                let rest = serde_json::to_string(&text[first.len_utf8()..]).unwrap();
                format!("\"\\u{:04x}{}", u32::from(first), &rest[1..])
            }
            _ => serde_json::to_string(text).unwrap(),
        };
        match value {
            Value::String(text) => string(text),
            Value::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| text_of(item, escape)).collect();
                format!("[ {}]", items.join(" ,\n"))
            }
            Value::Object(members) => {
                let member = |(name, value): (&String, _)| {
                    format!("{} :\t{}", string(name), text_of(value, escape))
                };
                format!("{{ {}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
            }
            value => value.to_string(),
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u32>().prop_map(|number| Value::from(f64::from(number) / 8.0)),
            "[a-c\"\\\\/~ü\u{1}\u{1f600}]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                object(inner),
            ]
        })
    }

    fn object(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
        prop::collection::vec(("[a-c~/ü\"\\\\]{0,2}|[a-z]{3}", value), 0..24)
            .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>()))
    }

    /// Returns the JSON Pointers to all values in `value`.
    fn pointers(value: &Value, pointer: &str, found: &mut Vec<String>) {
        found.push(pointer.to_owned());
        match value {
            Value::Object(members) => members.iter().for_each(|(name, value)| {
                let step = name.replace('~', "~0").replace('/', "~1");
                pointers(value, &format!("{pointer}/{step}"), found);
            }),
            Value::Array(items) => items.iter().enumerate().for_each(|(index, item)| {
                pointers(item, &format!("{pointer}/{index}"), found);
            }),
            _ => {}
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// Every name, pointer and string is the same as for serde_json.
        #[test]
        fn random_claims_are_found_as_by_serde_json(
            expected in object(value()),
            escape: bool,
            other in "[a-c~/]{0,4}",
        ) {
            let claims = parse(&text_of(&expected, escape));
            let parsed = |json: Option<&str>| {
                json.map(|json| serde_json::from_str::<Value>(json).unwrap())
            };
            for (name, value) in expected.as_object().unwrap() {
                prop_assert_eq!(parsed(claims.get(name)), Some(value.clone()), "{}", name);
            }
            let mut all = Vec::new();
            pointers(&expected, "", &mut all);
            for pointer in all.iter().filter(|pointer| !pointer.is_empty()) {
                let (found, value) = (claims.find(pointer).unwrap(), expected.pointer(pointer));
                prop_assert_eq!(parsed(found), value.cloned(), "{}", pointer);
                let found = found.and_then(text).map(|text| text.into_owned());
                let value = value.and_then(Value::as_str).map(str::to_owned);
                prop_assert_eq!(found, value, "{}", pointer);
            }
            let value = match other.strip_prefix('/') {
                Some(_) => expected.pointer(&other),
                None => expected.get(&other),
            };
            match claims.find(&other) {
                Ok(found) => prop_assert_eq!(parsed(found), value.cloned()),
                Err(NotNested) => prop_assert!(value.is_none()),
            }
            prop_assert_eq!(claims.deserialize::<Value>().unwrap(), expected);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// An object is accepted exactly if serde_json and a check of each level accept it.
        #[test]
        fn random_text_is_accepted_exactly_if_it_is_valid(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "{", "}", "{", "}", "[", "]", ",", ":", ",", ":", "\"a\"", "\"b\"", "\"\\u0061\"",
                    "\"x\\n\"", "\"", " ", "\n", "1", "0", "01", "-1", "1.5", "1e9", "1e999", "true",
                    "null", "ü", "\"ü\"", "\\", "\u{1}", "\"\\ud800\"", "{\"a\":1}", "\"c\":1,",
                    NESTED_32, NESTED_33,
                ]),
                0..14,
            ),
        ) {
            let json = parts.concat();
            prop_assert_eq!(Members::parse(&json).is_some(), is_valid_object(&json), "{}", json);
        }

        #[test]
        fn mutated_object_is_accepted_exactly_if_it_is_valid(
            members in prop::collection::vec(("[a-c]{1,2}", prop::sample::select(vec![
                "1", "\"text with ü\"", "\"\\\"\"", "[1, {\"a\": 2}]", "{\"a\": 1, \"a\": 1}",
                "1800000000.25", "null", NESTED_32, NESTED_33,
            ])), 0..5),
            position in 0..60_usize,
            replacement in prop::option::of(any::<char>()),
        ) {
            let members: Vec<_> =
                members.iter().map(|(name, value)| format!("\"{name}\" :{value}")).collect();
            let whole = format!("{{{}}} ", members.join(" , "));
            let is_accepted = |json: &str| Members::parse(json).is_some();
            prop_assert_eq!(is_accepted(&whole), is_valid_object(&whole), "{}", whole);
            let chars = whole.chars().enumerate();
            let mutated: String = chars
                .filter_map(|(at, one)| if at == position { replacement } else { Some(one) })
                .collect();
            prop_assert_eq!(is_accepted(&mutated), is_valid_object(&mutated), "{}", mutated);
        }
    }

    const NESTED_32: &str = "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]";
    const NESTED_33: &str = "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]";

    fn is_valid_object(json: &str) -> bool {
        use crate::json::strict::{self, DepthLimit};
        let object = json.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{');
        object && strict::from_slice(json.as_bytes(), DepthLimit::MAX_PLUS_ONE).is_ok()
    }
}
