//! A pull parser for the members of a JSON object.
//!
//! Nearly all claims sets are JSON without escapes and line breaks. For those, this parser reads
//! strings and whole numbers itself, in half the time of a general parser. Everything else, such as
//! fractions and nested values, is parsed by serde_json.

use std::{borrow::Cow, marker::PhantomData};

use serde::de::{Deserialize, DeserializeSeed, IgnoredAny};

use super::json::{DepthLimit, MemberNames, Presence, Text};
use crate::jwt::error::TokenError;

/// A name and a value.
type Member<'a> = (Cow<'a, [u8]>, Value<'a>);

#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Text(&'a str),
    Number(u64),
    /// Not parsed yet. The caller must parse or skip it before it asks for the next member.
    Unread,
}

/// Reads a JSON object member by member.
pub(crate) struct Members<'a> {
    json: &'a str,
    /// The input that is not parsed yet.
    rest: &'a [u8],
    /// Whether the input contains no backslash and no control character. If so, every string ends
    /// at the next quote.
    plain: bool,
    /// The byte before the next name: `{` for the first member, then `,`.
    separator: u8,
    names: MemberNames<'a>,
}

impl<'a> Members<'a> {
    pub(crate) fn new(json: &'a str) -> Self {
        // Blocks of fixed size, so that the compiler vectorizes the check.
        let is_plain = |byte: &u8| (*byte >= b' ') & (*byte != b'\\');
        let (blocks, rest) = json.as_bytes().as_chunks::<16>();
        let all_plain =
            |block: &[u8; 16]| block.iter().fold(true, |all, byte| all & is_plain(byte));
        let plain = blocks.iter().all(all_plain) && rest.iter().all(is_plain);
        Self { json, rest: json.as_bytes(), plain, separator: b'{', names: MemberNames::default() }
    }

    /// Returns the next member, or `None` at the end of the object.
    ///
    /// At the end, rejects trailing data and duplicate names.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Result<Option<Member<'a>>, TokenError> {
        let name = match self.parse_compact_name() {
            Some(name) => Cow::Borrowed(name),
            None => match self.parse_name()? {
                Some(name) => name,
                None => return Ok(None),
            },
        };
        self.separator = b',';
        self.names.add(&name);
        let value = match self.peek() {
            Some(b'"') => self.plain_text().map_or(Value::Unread, Value::Text),
            Some(b'0'..=b'9') => self.whole_number().map_or(Value::Unread, Value::Number),
            _ => Value::Unread,
        };
        Ok(Some((name, value)))
    }

    /// Parses a name without escapes and without white space around it. Returns `None` for others.
    #[inline(always)]
    fn parse_compact_name(&mut self) -> Option<&'a [u8]> {
        let [separator, b'"', rest @ ..] = self.rest else { return None };
        let (name, rest) = rest.split_at_checked(find_quote(rest)?)?;
        let [b'"', b':', rest @ ..] = rest else { return None };
        (*separator == self.separator && self.plain).then(|| {
            self.rest = rest;
            name
        })
    }

    /// Parses any name, or returns `None` at the end of the object.
    #[cold]
    fn parse_name(&mut self) -> Result<Option<Cow<'a, [u8]>>, TokenError> {
        let first = self.separator == b'{';
        if first {
            self.expect_byte(b'{')?;
        }
        if self.peek() == Some(b'}') {
            self.expect_byte(b'}')?;
            let valid = self.peek().is_none() && self.names.are_unique();
            return if valid { Ok(None) } else { Err(TokenError::MalformedClaims) };
        }
        if !first {
            self.expect_byte(b',')?;
        }
        let name = match self.plain_string() {
            Some(name) => Cow::Borrowed(name),
            None => self.value::<Text<'a>>()?.into_bytes(),
        };
        self.expect_byte(b':')?;
        Ok(Some(name))
    }

    /// Parses a string without escapes, if that is next.
    #[inline(always)]
    fn plain_text(&mut self) -> Option<&'a str> {
        let text = self.plain_string()?;
        let end = self.json.len() - self.rest.len() - 1;
        self.json.get(end - text.len()..end)
    }

    #[inline(always)]
    fn plain_string(&mut self) -> Option<&'a [u8]> {
        if self.peek() != Some(b'"') || !self.plain {
            return None;
        }
        let (_, rest) = self.rest.split_first()?;
        let (text, rest) = rest.split_at_checked(find_quote(rest)?)?;
        self.rest = rest.get(1..)?;
        Some(text)
    }

    /// Parses an unsigned whole number below 10^15, if that is next.
    #[inline(always)]
    fn whole_number(&mut self) -> Option<u64> {
        let first = self.peek()?;
        let (mut number, mut length) = (0, 0);
        // Below 10^15, f64 represents every whole number exactly.
        for byte in self.rest.iter().take(16).take_while(|byte| byte.is_ascii_digit()) {
            number = number * 10 + u64::from(byte - b'0');
            length += 1;
        }
        let canonical = length == 1 || (2..16).contains(&length) && first != b'0';
        let rest = self.rest.get(length..).filter(|_| canonical)?;
        matches!(rest, [b',' | b'}', ..]).then(|| {
            self.rest = rest;
            number
        })
    }

    /// Returns a value as a string. Rejects other types.
    #[inline]
    pub(crate) fn text(&mut self, value: Value<'a>) -> Result<Cow<'a, str>, TokenError> {
        match value {
            Value::Text(text) => Ok(Cow::Borrowed(text)),
            Value::Number(_) => Err(TokenError::MalformedClaims),
            Value::Unread => self.value().map(|Text(text)| text),
        }
    }

    /// Skips a value. Rejects duplicate names and too deep nesting in it.
    #[inline]
    pub(crate) fn skip(&mut self, value: Value<'a>) -> Result<Presence, TokenError> {
        match value {
            Value::Text(_) | Value::Number(_) => Ok(Presence::Present),
            Value::Unread => self.value_as(DepthLimit::MAX),
        }
    }

    /// Skips an object and returns it as sent. Rejects other values.
    pub(crate) fn object(&mut self, value: Value<'a>) -> Result<&'a str, TokenError> {
        let is_object = matches!(value, Value::Unread) && self.peek() == Some(b'{');
        let start = self.json.len() - self.rest.len();
        if !is_object {
            return Err(TokenError::MalformedClaims);
        }
        self.value_as(DepthLimit::MAX)?;
        let end = self.json.len() - self.rest.len();
        self.json.get(start..end).ok_or(TokenError::MalformedClaims)
    }

    /// Parses a [`Value::Unread`].
    pub(crate) fn value<T: Deserialize<'a>>(&mut self) -> Result<T, TokenError> {
        self.value_as(PhantomData)
    }

    /// Parses a [`Value::Unread`] with a seed.
    #[cold]
    pub(crate) fn value_as<S: DeserializeSeed<'a>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, TokenError> {
        let rest = self.json.get(self.json.len() - self.rest.len()..).unwrap_or_default();
        let mut deserializer = serde_json::Deserializer::from_str(rest);
        let value = seed.deserialize(&mut deserializer);
        let length = deserializer.into_iter::<IgnoredAny>().byte_offset();
        self.rest = self.rest.get(length..).unwrap_or_default();
        value.map_err(|_| TokenError::MalformedClaims)
    }

    /// Skips white space (RFC 8259 §2) and returns the next byte without consuming it.
    #[inline(always)]
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.rest {
                [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] => self.rest = rest,
                rest => return rest.first().copied(),
            }
        }
    }

    #[inline(always)]
    fn expect_byte(&mut self, expected: u8) -> Result<(), TokenError> {
        if self.peek() != Some(expected) {
            return Err(TokenError::MalformedClaims);
        }
        self.rest = self.rest.get(1..).unwrap_or_default();
        Ok(())
    }
}

/// Returns the position of the first quote.
///
/// An inlined replacement for `memchr`, whose call overhead is higher than the cost of a search in
/// a short name.
#[inline(always)]
fn find_quote(text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;

    let (words, rest) = text.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        // The XOR turns quotes into zero bytes. The lowest high bit set in `zero` marks the first.
        let word = u64::from_le_bytes(*word) ^ (ONES * u64::from(b'"'));
        let zero = word.wrapping_sub(ONES) & !word & HIGH;
        if zero != 0 {
            return Some(number * 8 + zero.trailing_zeros() as usize / 8);
        }
    }
    rest.iter().position(|byte| *byte == b'"').map(|at| words.len() * 8 + at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::jwt::jws::json;

    fn member_names(json: &str) -> Result<Vec<String>, TokenError> {
        let (mut names, mut members) = (Vec::new(), Members::new(json));
        while let Some((name, value)) = members.next()? {
            members.skip(value)?;
            names.push(String::from_utf8(name.into_owned()).unwrap());
        }
        Ok(names)
    }

    fn is_valid_object(json: &str) -> bool {
        let object = json.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{');
        object && json::from_slice(json.as_bytes(), DepthLimit::MAX_PLUS_ONE).is_ok()
    }

    #[test]
    fn malformed_object_is_rejected() {
        let json = " {\"a\" : 1,\t\"\\u0062\":\"x\"\n,\"c\":{\"a\":[1]} , \"d\":null}\r\n";
        assert_eq!(member_names(json).unwrap(), ["a", "b", "c", "d"]);
        assert!(
            member_names("{}").unwrap().is_empty() && member_names(" { } ").unwrap().is_empty()
        );
        for invalid in [
            "",
            "{",
            "[]",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":1 \"b\":2}",
            "{a:1}",
            "{\"a\":1}{",
            "{\"a\":1}}",
            "{\"a\":01}",
            "{\"a\":1.}",
            "{\"a\":+1}",
            "{\"a\":1x}",
            "{\"a\":\"\n\"}",
            "{\"a\":\"\\x\"}",
            "{\"a\":tru}",
            "{\"a\":1,\"a\":1}",
            "{\"a\":\"",
            "{\"a\":1,\"\\u0061\":1}",
            "{1:1}",
            "{\"a\":truefalse}",
            "{\"a\":1\u{a0}}",
            "\u{feff}{}",
        ] {
            assert_eq!(member_names(invalid), Err(TokenError::MalformedClaims), "{invalid}");
        }
    }

    #[test]
    fn string_has_the_same_value_with_and_without_fast_path() {
        for text in ["", "x", "ü", "~\u{7f}", "a longer text, with a comma"] {
            let json = |other: &str| format!("{{\"a\":\"{text}\",\"b\":\"{other}\"}}");
            for (json, plain) in
                [(json("x"), true), (json("\\n"), false), (json("x") + "\n", false)]
            {
                let mut members = Members::new(&json);
                let (name, value) = members.next().unwrap().unwrap();
                assert_eq!((&*name, matches!(value, Value::Text(_))), (&b"a"[..], plain));
                assert_eq!(members.text(value).unwrap(), text);
                let (_, value) = members.next().unwrap().unwrap();
                members.skip(value).unwrap();
                assert!(members.next().unwrap().is_none());
            }
        }
    }

    #[test]
    fn first_quote_is_found_at_every_offset() {
        // Bytes close to the quote, which the search of eight bytes at a time could confuse with
        // it.
        for filler in ["!#", "#!", "ü", "\u{a2}\u{22a2}"] {
            for length in 0..40 {
                let mut text = filler.repeat(20).into_bytes();
                text.truncate(length);
                assert_eq!(find_quote(&text), None);
                text.extend(b"\"#\"!");
                assert_eq!(find_quote(&text), Some(length), "{filler} {length}");
            }
        }
    }

    #[test]
    fn only_canonical_numbers_below_ten_to_the_15_use_the_fast_path() {
        for (json, number) in [
            ("0,", Some(0)),
            (" 1800000000}", Some(1_800_000_000)),
            ("999999999999999,", Some(999_999_999_999_999)),
            ("1000000000000000,", None),
            ("01,", None),
            ("-1,", None),
            ("1.5,", None),
            ("1e3,", None),
            ("\"1\",", None),
            ("1", None),
            (",", None),
        ] {
            let mut members = Members::new(json);
            assert_eq!(members.whole_number(), number, "{json}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn random_json_is_accepted_exactly_if_serde_json_accepts_it(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "{", "}", "{", "}", "[", "]", ",", ":", ",", ":", "\"a\"", "\"b\"", "\"\\u0061\"", "\"x\\n\"", "\"",
                    " ", "\n", "1", "0", "01", "-1", "1.5", "1e9", "true", "null", "ü", "\"ü\"", "\\", "\u{1}",
                ]),
                0..14,
            ),
        ) {
            let json = parts.concat();
            prop_assert_eq!(member_names(&json).is_ok(), is_valid_object(&json), "{}", json);
        }

        #[test]
        fn mutated_object_is_accepted_exactly_if_serde_json_accepts_it(
            members in prop::collection::vec(("[a-c]{1,2}", prop::sample::select(vec![
                "1", "\"text with ü\"", "\"\\\"\"", "[1, {\"a\": 2}]", "{\"a\": 1, \"a\": 1}", "1800000000.25", "null",
            ])), 0..5),
            position in 0..60_usize,
            replacement in prop::option::of(any::<char>()),
        ) {
            let members: Vec<_> =
                members.iter().map(|(name, value)| format!("\"{name}\" :{value}")).collect();
            let whole = format!("{{{}}} ", members.join(" , "));
            prop_assert_eq!(member_names(&whole).is_ok(), is_valid_object(&whole), "{}", whole);
            let mutated: String = whole
                .chars()
                .enumerate()
                .filter_map(|(at, one)| if at == position { replacement } else { Some(one) })
                .collect();
            let accepted = member_names(&mutated).is_ok();
            prop_assert_eq!(accepted, is_valid_object(&mutated), "{}", mutated);
        }
    }
}
