//! The members of a claims set, one after the other.
//!
//! In JSON without escapes and line breaks, as nearly all claims are, strings and whole numbers are read here, in half of
//! the time that a parser of everything takes. The rest, such as fractions and whatever is nested, is left to serde_json.

use std::{borrow::Cow, marker::PhantomData};

use serde::de::{Deserialize, DeserializeSeed, IgnoredAny};

use super::json::{Any, Levels, Names, Text};
use crate::jwt::error::TokenError;

/// A name and a value.
type Member<'a> = (Cow<'a, [u8]>, Value<'a>);

#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Text(&'a str),
    Number(u64),
    /// It has to be read before the next member.
    Unread,
}

/// A JSON object that is read from its start to its end.
pub(crate) struct Members<'a> {
    json: &'a str,
    /// What has not been read yet.
    rest: &'a [u8],
    /// Whether a string ends with the next quote, wherever it is: there is no backslash and no control character.
    plain: bool,
    /// What comes before a name: the start of the object, and then what is between two members.
    before: u8,
    names: Names<'a>,
}

impl<'a> Members<'a> {
    pub(crate) fn new(json: &'a str) -> Self {
        // Blocks, of whose bytes many are looked at together.
        let is_plain = |byte: &u8| (*byte >= b' ') & (*byte != b'\\');
        let (blocks, rest) = json.as_bytes().as_chunks::<16>();
        let all_plain =
            |block: &[u8; 16]| block.iter().fold(true, |all, byte| all & is_plain(byte));
        let plain = blocks.iter().all(all_plain) && rest.iter().all(is_plain);
        Self { json, rest: json.as_bytes(), plain, before: b'{', names: Names::default() }
    }

    /// The next member. `None` once the object is over, with nothing behind it, and all its names differ.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Result<Option<Member<'a>>, TokenError> {
        let name = match self.compact_name() {
            Some(name) => Cow::Borrowed(name),
            None => match self.any_name()? {
                Some(name) => name,
                None => return Ok(None),
            },
        };
        self.before = b',';
        self.names.add(&name);
        let value = match self.peek() {
            Some(b'"') => self.plain_text().map_or(Value::Unread, Value::Text),
            Some(b'0'..=b'9') => self.whole_number().map_or(Value::Unread, Value::Number),
            _ => Value::Unread,
        };
        Ok(Some((name, value)))
    }

    /// A name with no white space around it.
    #[inline(always)]
    fn compact_name(&mut self) -> Option<&'a [u8]> {
        let [before, b'"', rest @ ..] = self.rest else { return None };
        let (name, rest) = rest.split_at_checked(first_quote(rest)?)?;
        let [b'"', b':', rest @ ..] = rest else { return None };
        (*before == self.before && self.plain).then(|| {
            self.rest = rest;
            name
        })
    }

    #[cold]
    fn any_name(&mut self) -> Result<Option<Cow<'a, [u8]>>, TokenError> {
        let first = self.before == b'{';
        if first {
            self.pass(b'{')?;
        }
        if self.peek() == Some(b'}') {
            self.pass(b'}')?;
            let over = self.peek().is_none() && self.names.all_differ();
            return if over { Ok(None) } else { Err(TokenError::MalformedClaims) };
        }
        if !first {
            self.pass(b',')?;
        }
        let name = match self.plain_string() {
            Some(name) => Cow::Borrowed(name),
            None => self.value::<Text<'a>>()?.into_bytes(),
        };
        self.pass(b':')?;
        Ok(Some(name))
    }

    /// A string, if that is next, and can be read here.
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
        let (text, rest) = rest.split_at_checked(first_quote(rest)?)?;
        self.rest = rest.get(1..)?;
        Some(text)
    }

    /// A whole number without a sign, if that is next, and every parser agrees on it.
    #[inline(always)]
    fn whole_number(&mut self) -> Option<u64> {
        let first = self.peek()?;
        let (mut number, mut length) = (0, 0);
        // Below 10^15, a number in floating point is as exact.
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

    /// A value that has to be a string.
    #[inline]
    pub(crate) fn text(&mut self, value: Value<'a>) -> Result<Cow<'a, str>, TokenError> {
        match value {
            Value::Text(text) => Ok(Cow::Borrowed(text)),
            Value::Number(_) => Err(TokenError::MalformedClaims),
            Value::Unread => self.value().map(|Text(text)| text),
        }
    }

    /// Reads over a value, for the sake of the names in it.
    #[inline]
    pub(crate) fn skip(&mut self, value: Value<'a>) -> Result<Any, TokenError> {
        match value {
            Value::Text(_) | Value::Number(_) => Ok(Any::Value),
            Value::Unread => self.value_as(Levels::MAX),
        }
    }

    /// A value that was not read yet.
    pub(crate) fn value<T: Deserialize<'a>>(&mut self) -> Result<T, TokenError> {
        self.value_as(PhantomData)
    }

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

    /// What comes after white space (RFC 8259 §2).
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
    fn pass(&mut self, expected: u8) -> Result<(), TokenError> {
        if self.peek() != Some(expected) {
            return Err(TokenError::MalformedClaims);
        }
        self.rest = self.rest.get(1..).unwrap_or_default();
        Ok(())
    }
}

/// As `memchr` finds it, but without a call: names are shorter than that takes to begin.
#[inline(always)]
fn first_quote(text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;

    let (words, rest) = text.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        // Of the bytes that are now zero, the first has its high bit set here, and none before it has.
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

    fn reads(json: &str) -> Result<Vec<String>, TokenError> {
        let (mut names, mut members) = (Vec::new(), Members::new(json));
        while let Some((name, value)) = members.next()? {
            members.skip(value)?;
            names.push(String::from_utf8(name.into_owned()).unwrap());
        }
        Ok(names)
    }

    fn as_serde_json_does(json: &str) -> bool {
        let object = json.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{');
        object && json::from_slice(json.as_bytes(), Levels::ONE_MORE).is_ok()
    }

    #[test]
    fn an_object_is_read_to_its_end() {
        let json = " {\"a\" : 1,\t\"\\u0062\":\"x\"\n,\"c\":{\"a\":[1]} , \"d\":null}\r\n";
        assert_eq!(reads(json).unwrap(), ["a", "b", "c", "d"]);
        assert!(reads("{}").unwrap().is_empty() && reads(" { } ").unwrap().is_empty());
        for odd in [
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
            assert_eq!(reads(odd), Err(TokenError::MalformedClaims), "{odd}");
        }
    }

    #[test]
    fn a_text_is_the_same_with_escapes_near_it_and_without() {
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
    fn the_first_quote_is_found_at_every_place() {
        // Its neighbours, whose bits a search of eight at once may take for it.
        for filler in ["!#", "#!", "ü", "\u{a2}\u{22a2}"] {
            for length in 0..40 {
                let mut text = filler.repeat(20).into_bytes();
                text.truncate(length);
                assert_eq!(first_quote(&text), None);
                text.extend(b"\"#\"!");
                assert_eq!(first_quote(&text), Some(length), "{filler} {length}");
            }
        }
    }

    #[test]
    fn whole_numbers_are_those_that_everybody_reads_alike() {
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
        fn it_reads_what_serde_json_reads(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "{", "}", "{", "}", "[", "]", ",", ":", ",", ":", "\"a\"", "\"b\"", "\"\\u0061\"", "\"x\\n\"", "\"",
                    " ", "\n", "1", "0", "01", "-1", "1.5", "1e9", "true", "null", "ü", "\"ü\"", "\\", "\u{1}",
                ]),
                0..14,
            ),
        ) {
            let json = parts.concat();
            prop_assert_eq!(reads(&json).is_ok(), as_serde_json_does(&json), "{}", json);
        }

        #[test]
        fn it_reads_objects_with_a_part_gone(
            members in prop::collection::vec(("[a-c]{1,2}", prop::sample::select(vec![
                "1", "\"text with ü\"", "\"\\\"\"", "[1, {\"a\": 2}]", "{\"a\": 1, \"a\": 1}", "1800000000.25", "null",
            ])), 0..5),
            gone in 0..60_usize,
            put in prop::option::of(any::<char>()),
        ) {
            let members: Vec<_> =
                members.iter().map(|(name, value)| format!("\"{name}\" :{value}")).collect();
            let whole = format!("{{{}}} ", members.join(" , "));
            prop_assert_eq!(reads(&whole).is_ok(), as_serde_json_does(&whole), "{}", whole);
            let part: String = whole
                .chars()
                .enumerate()
                .filter_map(|(at, one)| if at == gone { put } else { Some(one) })
                .collect();
            prop_assert_eq!(reads(&part).is_ok(), as_serde_json_does(&part), "{}", part);
        }
    }
}
