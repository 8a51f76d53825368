//! Strict JSON parsing. Internal names of serde_json are rejected. Duplicate member names are
//! rejected at every level (RFC 7515 §4, RFC 7519 §4), because parsers disagree on which of the two
//! values to use.

use std::{borrow::Cow, fmt};

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor,
};
use smallvec::SmallVec;

/// Parses a single JSON value. Rejects trailing data.
///
/// JSON is UTF-8 (RFC 8259 §8.1). Checking the whole input once is faster than checking each
/// string.
pub(crate) fn from_slice<'de, S>(json: &'de [u8], seed: S) -> Result<S::Value, serde_json::Error>
where
    S: DeserializeSeed<'de>,
{
    let json = std::str::from_utf8(json).map_err(Error::custom)?;
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let value = seed.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// The member names of one object. Finds duplicates and reserved names.
#[derive(Default)]
pub(crate) struct MemberNames<'a>(SmallVec<[Cow<'a, str>; MemberNames::MAX_COMPARED]>);

impl<'a> MemberNames<'a> {
    /// The number of names that are compared with each other. More names are sorted, so that the
    /// cost stays near linear.
    const MAX_COMPARED: usize = 16;

    pub(crate) fn add(&mut self, name: Cow<'a, str>) {
        self.0.push(name);
    }

    pub(crate) fn check<E: Error>(self) -> Result<(), E> {
        if self.are_valid() { Ok(()) } else { Err(E::custom("duplicate or reserved name")) }
    }

    /// Returns whether all names are different, and none stands for JSON in a text.
    pub(crate) fn are_valid(mut self) -> bool {
        let names = &mut self.0;
        let has_duplicate = if names.len() <= Self::MAX_COMPARED {
            (1..).zip(names.iter()).any(|(next, name)| names.iter().skip(next).any(|n| n == name))
        } else {
            names.sort_unstable();
            names.windows(2).any(|pair| matches!(pair, [one, other] if one == other))
        };
        // With `arbitrary_precision`, a number is an object with the other reserved name.
        !has_duplicate && !self.0.iter().any(|name| name == RAW_VALUE)
    }
}

/// The names that serde_json uses internally. With its features `raw_value` and
/// `arbitrary_precision`, which any dependency can enable, serde_json replaces an object that has
/// such a name by the JSON or the number in the text of the member.
const RAW_VALUE: &str = "$serde_json::private::RawValue";
const NUMBER: &str = "$serde_json::private::Number";

/// Returns whether serde_json uses this name internally.
#[inline]
pub(crate) fn is_reserved(name: &str) -> bool {
    matches!(name, RAW_VALUE | NUMBER)
}

/// A string, borrowed from the input if it contains no escapes.
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

/// Reads and discards a value of up to this many levels of nesting. Rejects duplicate names in it.
#[derive(Clone, Copy)]
pub(crate) struct DepthLimit(u8);

impl DepthLimit {
    /// Far deeper than real claims, and safe for a small stack.
    pub(crate) const MAX: Self = Self(32);

    /// For an object whose members have the maximum depth.
    #[cfg(test)]
    pub(crate) const MAX_PLUS_ONE: Self = Self(33);

    fn descend<E: Error>(self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom("nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for DepthLimit {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for DepthLimit {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let limit = self.descend()?;
        while items.next_element_seed(limit)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let too_deep = || A::Error::custom("nested too deeply");
        let (limit, mut names) = (self.descend::<A::Error>().ok(), MemberNames::default());
        while let Some(Text(name)) = members.next_key()? {
            if name == NUMBER {
                return members.next_value::<InternalNumber>().map(drop);
            }
            members.next_value_seed(limit.ok_or_else(too_deep)?)?;
            names.add(name);
        }
        names.check()?;
        limit.map(drop).ok_or_else(too_deep)
    }
}

/// The number that serde_json passes as an object. Rejects an object that was sent.
struct InternalNumber;

impl<'de> Deserialize<'de> for InternalNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InternalNumberVisitor;

        impl Visitor<'_> for InternalNumberVisitor {
            type Value = InternalNumber;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            // A string that was sent.
            fn visit_str<E: Error>(self, text: &str) -> Result<InternalNumber, E> {
                Err(E::invalid_value(Unexpected::Str(text), &self))
            }

            // The digits of a number.
            fn visit_string<E: Error>(self, _: String) -> Result<InternalNumber, E> {
                Ok(InternalNumber)
            }
        }

        deserializer.deserialize_any(InternalNumberVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parses(json: &str) -> bool {
        from_slice(json.as_bytes(), DepthLimit::MAX).is_ok()
    }

    #[test]
    fn duplicate_name_at_any_level_is_rejected() {
        assert!(parses(r#"{"a": {"a": [{"a": 1.5}, null, true, -1, "x"]}, "b": {"a": 1}}"#));
        for duplicate in [
            r#"{"a": 1, "a": 1}"#,
            r#"{"a": 1, "b": 2, "\u0061": 3}"#,
            r#"{"x": {"a": 1, "a": 2}}"#,
            r#"[[{"x": [{"a": 1, "a": 2}]}]]"#,
        ] {
            assert!(!parses(duplicate), "{duplicate}");
        }
    }

    #[test]
    fn duplicate_name_among_many_members_is_rejected() {
        for count in [2, 5, 15, 16, 17, 18, 40, 200] {
            let member = |number: usize| format!("\"n{number}x\": 1");
            let all: Vec<_> = (0..count).map(member).collect();
            assert!(parses(&format!("{{{}}}", all.join(","))), "{count}");
            for (original, copy) in
                [(0, count - 1), (0, 1), (count / 2, count - 1), (count - 2, count - 1)]
            {
                let mut members = all.clone();
                members[copy] = members[original].clone();
                let accepted = parses(&format!("{{{}}}", members.join(",")));
                assert!(!accepted || original == copy, "{count} {original}");
            }
        }
    }

    #[test]
    fn nesting_over_32_levels_is_rejected() {
        assert!(parses(&format!("{}{}", "[".repeat(32), "]".repeat(32))));
        assert!(!parses(&format!("{}{}", "[".repeat(33), "]".repeat(33))));
        assert!(!parses(&format!("{}{}", "[".repeat(10_000), "]".repeat(10_000))));
        assert!(!parses(&format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000))));
    }

    #[test]
    fn internal_name_of_serde_json_is_rejected() {
        for name in [RAW_VALUE, NUMBER] {
            for json in [
                format!("{{\"{name}\":\"1\"}}"),
                format!("[{{\"a\":{{\"{name}\":\"1\"}}}}]"),
                format!("[{{\"a\":1,\"\\u0024{}\":\"1\"}}]", &name[1..]),
            ] {
                assert!(!parses(&json), "{json}");
            }
        }
    }

    #[test]
    fn trailing_data_is_rejected() {
        assert!(!parses("{} {}") && !parses("{}x") && !parses(""));
        assert!(parses(" {} \n"));
    }
}
