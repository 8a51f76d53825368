use std::{borrow::Cow, marker::PhantomData, ops::Range};

use serde::de::{DeserializeSeed, IgnoredAny};
use smallvec::SmallVec;

use super::strict::{DepthLimit, MemberNames, Text};

/// The positions of the members of a JSON object in its text.
#[derive(Clone, Default)]
pub(crate) struct Members {
    /// The members whose names contain no escape. Most claims sets have at most 16 members.
    plain: SmallVec<[Member; 16]>,
    /// The decoded names and the values of the other members.
    escaped: Vec<(Box<str>, Span)>,
}

#[derive(Clone, Copy)]
struct Member {
    tag: Tag,
    name: Span,
    value: Span,
}

/// Equal names have equal tags, and most different names have different ones.
#[derive(Clone, Copy, PartialEq)]
struct Tag(u32);

/// A part of a text, which is shorter than 4 GiB.
#[derive(Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

impl Members {
    /// Parses an object. Returns `None` if it is not valid, if there is trailing data, if a name
    /// occurs twice at any level, or if a member has more than 32 levels.
    pub(crate) fn parse(json: &str) -> Option<Self> {
        Parser::new(json).parse_object()
    }

    /// Returns the JSON of a member. `json` is the text from which the members were parsed.
    pub(crate) fn get<'a>(&self, json: &'a str, name: &str) -> Option<&'a str> {
        let tag = Tag::of(name.as_bytes());
        let is_named = |member: &&Member| member.tag == tag && member.name.is(json, name);
        let plain = self.plain.iter().find(is_named).map(|member| member.value);
        let escaped = || self.escaped.iter().find(|(other, _)| **other == *name);
        plain.or_else(|| Some(escaped()?.1))?.of(json)
    }

    /// Returns the names and the JSON of the values.
    pub(crate) fn iter<'a>(&'a self, json: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let plain = self.plain.iter().filter_map(|it| Some((it.name.of(json)?, it.value)));
        let escaped = self.escaped.iter().map(|(name, value)| (&**name, *value));
        plain.chain(escaped).filter_map(|(name, value)| Some((name, value.of(json)?)))
    }

    fn have_unique_names(&self, json: &str) -> bool {
        if !self.escaped.is_empty() || self.plain.spilled() {
            let mut names = MemberNames::default();
            self.iter(json).for_each(|(name, _)| names.add(name.into()));
            return names.are_unique();
        }
        // A few names are compared with each other.
        let mut members = self.plain.iter();
        while let Some(Member { tag, name, .. }) = members.next() {
            let is_equal = |other: &Member| {
                other.tag == *tag && name.of(json).is_none_or(|name| other.name.is(json, name))
            };
            if members.clone().any(is_equal) {
                return false;
            }
        }
        true
    }

    /// Returns the size of the referenced memory, in bytes.
    #[cfg(feature = "token-cache")]
    pub(crate) fn heap_bytes(&self) -> usize {
        let plain = if self.plain.spilled() { self.plain.capacity() } else { 0 };
        let escaped = self.escaped.iter().map(|(name, _)| name.len()).sum::<usize>();
        plain * size_of::<Member>()
            + self.escaped.capacity() * size_of::<(Box<str>, Span)>()
            + escaped
    }
}

impl Tag {
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // a part of the length is enough
    fn of(name: &[u8]) -> Self {
        let middle = name.get(name.len() / 2).copied().unwrap_or_default();
        let (first, last) = (name.first(), name.last());
        let [first, last] = [first, last].map(|byte| byte.copied().unwrap_or_default());
        Self(u32::from_ne_bytes([name.len() as u8, first, middle, last]))
    }
}

impl Span {
    #[inline(always)]
    fn new(start: usize, end: usize) -> Option<Self> {
        Some(Self { start: u32::try_from(start).ok()?, end: u32::try_from(end).ok()? })
    }

    /// Returns whether this part of `text` is `other`.
    #[inline]
    fn is(self, text: &str, other: &str) -> bool {
        // Slicing bytes needs no check for character boundaries.
        text.as_bytes().get(self.range()) == Some(other.as_bytes())
    }

    #[inline]
    fn of(self, text: &str) -> Option<&str> {
        text.get(self.range())
    }

    #[inline]
    fn range(self) -> Range<usize> {
        // A position is a `usize`, so the conversion back cannot fail.
        let index = |position| usize::try_from(position).unwrap_or_default();
        index(self.start)..index(self.end)
    }
}

/// Parses the members of an object, and finds where they are in its text.
///
/// Nearly all claims sets are JSON without escapes and line breaks. For those, it finds the ends of
/// strings and whole numbers itself, in half the time of a general parser. It passes everything
/// else, such as fractions and nested values, to serde_json.
struct Parser<'a> {
    json: &'a str,
    /// The input that is not parsed yet.
    rest: &'a [u8],
    /// Whether the input contains no backslash and no control character. If so, every string ends
    /// at the next quote.
    plain: bool,
}

impl<'a> Parser<'a> {
    fn new(json: &'a str) -> Self {
        // Blocks of fixed size, so that the compiler vectorizes the check.
        let is_plain = |byte: &u8| (*byte >= b' ') & (*byte != b'\\');
        let (blocks, rest) = json.as_bytes().as_chunks::<16>();
        let all_plain =
            |block: &[u8; 16]| block.iter().fold(true, |all, byte| all & is_plain(byte));
        let plain = blocks.iter().all(all_plain) && rest.iter().all(is_plain);
        Self { json, rest: json.as_bytes(), plain }
    }

    /// Parses an object. Returns `None` if it is not valid.
    fn parse_object(mut self) -> Option<Members> {
        let mut members = Members::default();
        self.expect(b'{')?;
        if self.peek()? == b'}' {
            self.expect(b'}')?;
            return self.peek().is_none().then_some(members);
        }
        loop {
            self.parse_member(&mut members)?;
            match self.peek()? {
                b',' => self.expect(b',')?,
                _ => break,
            }
        }
        self.expect(b'}')?;
        (self.peek().is_none() && members.have_unique_names(self.json)).then_some(members)
    }

    #[inline(always)]
    fn parse_member(&mut self, members: &mut Members) -> Option<()> {
        self.peek();
        let start = self.position();
        let (plain, escaped) = match self.parse_plain_string() {
            Some(name) => (Tag::of(name), None),
            None => match self.parse_with(PhantomData::<Text<'a>>)? {
                Text(Cow::Borrowed(name)) => (Tag::of(name.as_bytes()), None),
                Text(Cow::Owned(name)) => (Tag::of(b""), Some(name)),
            },
        };
        let name = Span::new(start + 1, self.position() - 1)?;
        self.expect(b':')?;
        self.peek();
        let start = self.position();
        self.skip_value()?;
        let value = Span::new(start, self.position())?;
        match escaped {
            None => members.plain.push(Member { tag: plain, name, value }),
            Some(name) => members.escaped.push((name.into(), value)),
        }
        Some(())
    }

    #[inline(always)]
    fn skip_value(&mut self) -> Option<()> {
        let skipped = match self.rest.first()? {
            b'"' => self.parse_plain_string().map(drop),
            b'0'..=b'9' => self.skip_whole_number(),
            _ => None,
        };
        skipped.or_else(|| self.parse_with(DepthLimit::MAX))
    }

    /// Parses a string without escapes, if that is next.
    #[inline(always)]
    fn parse_plain_string(&mut self) -> Option<&'a [u8]> {
        let [b'"', rest @ ..] = self.rest else { return None };
        let (text, rest) = rest.split_at_checked(find_quote(rest)?)?;
        if !self.plain {
            return None;
        }
        self.rest = rest.get(1..)?;
        Some(text)
    }

    /// Skips an unsigned whole number below 10^15, if that is next.
    #[inline(always)]
    fn skip_whole_number(&mut self) -> Option<()> {
        let length = self.rest.iter().take(16).take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = self.rest.split_at_checked(length)?;
        let canonical = length == 1 || length < 16 && !number.starts_with(b"0");
        (canonical && matches!(rest, [b',' | b'}', ..])).then(|| self.rest = rest)
    }

    /// Parses a value with serde_json.
    #[cold]
    fn parse_with<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Option<S::Value> {
        let rest = self.json.get(self.position()..)?;
        let mut deserializer = serde_json::Deserializer::from_str(rest);
        let value = seed.deserialize(&mut deserializer).ok()?;
        let length = deserializer.into_iter::<IgnoredAny>().byte_offset();
        self.rest = self.rest.get(length..)?;
        Some(value)
    }

    fn position(&self) -> usize {
        self.json.len() - self.rest.len()
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
    fn expect(&mut self, expected: u8) -> Option<()> {
        self.peek().filter(|byte| *byte == expected)?;
        self.rest = self.rest.get(1..)?;
        Some(())
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
    use super::*;

    fn names(json: &str) -> Option<Vec<String>> {
        let members = Members::parse(json)?;
        Some(members.iter(json).map(|(name, _)| name.to_owned()).collect())
    }

    #[test]
    fn names_are_decoded_and_values_are_json_as_sent() {
        let json = " {\"a\" : 1,\t\"\\u0062\":\"x\\n\"\n,\"c\":{\"a\": [1]} , \"\":null,\"\\\"\":-0.5e1}\r\n";
        let members = Members::parse(json).unwrap();
        for (name, value) in [
            ("a", Some("1")),
            ("b", Some("\"x\\n\"")),
            ("c", Some("{\"a\": [1]}")),
            ("", Some("null")),
            ("\"", Some("-0.5e1")),
            ("\\u0062", None),
            ("A", None),
        ] {
            assert_eq!(members.get(json, name), value, "{name}");
        }
        assert_eq!(names(json).unwrap(), ["a", "c", "", "b", "\""]);
        assert!(names("{}").unwrap().is_empty() && names(" { } ").unwrap().is_empty());
    }

    #[test]
    fn malformed_object_is_rejected() {
        for invalid in [
            "",
            "{",
            "[]",
            "42",
            "null",
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
            "{\"a\":1e999}",
            "{\"a\":\"\n\"}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\ud800\"}",
            "{\"\\ud800\":1}",
            "{\"a\":tru}",
            "{\"a\":1,\"a\":1}",
            "{\"a\":\"",
            "{\"a\":1,\"\\u0061\":1}",
            "{\"a\":{\"b\":1,\"b\":1}}",
            "{\"a\":[{\"b\":1,\"\\u0062\":1}]}",
            "{1:1}",
            "{\"a\":truefalse}",
            "{\"a\":1\u{a0}}",
            "\u{feff}{}",
        ] {
            assert_eq!(names(invalid), None, "{invalid}");
        }
    }

    #[test]
    fn member_nested_over_32_levels_is_rejected() {
        let nested = |depth| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(names(&nested(32)).is_some() && names(&nested(33)).is_none());
        assert!(names(&nested(100_000)).is_none());
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
    fn each_of_many_members_is_found() {
        for count in [15, 16, 17, 200] {
            let members = (0..count).map(|number| format!("\"n{number}\":{number}"));
            let json = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
            let parsed = Members::parse(&json).unwrap();
            for number in 0..count {
                let value = parsed.get(&json, &format!("n{number}"));
                assert_eq!(value, Some(number.to_string().as_str()));
            }
            assert_eq!(parsed.get(&json, &format!("n{count}")), None);
        }
    }
}
