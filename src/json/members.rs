use std::{borrow::Cow, iter, marker::PhantomData, ops::Range};

use memchr::memchr;
use serde::de::{DeserializeSeed, IgnoredAny};
use smallvec::SmallVec;

use super::strict::{DepthLimit, MemberNames, Text};

/// The positions of the members of a JSON object in its text.
#[derive(Clone)]
pub(crate) struct Members {
    /// The members whose names contain no escape.
    plain: SmallVec<[Member; MAX_INLINE]>,
    /// The decoded names and the values of the other members, which are rare.
    escaped: Vec<(Box<str>, Span)>,
    /// For each [`slot`] of a name, the position in `plain` of the last member with this slot, plus
    /// 1, or 0 if there is none. 255 stands for any later position.
    slots: [u8; SLOTS],
}

#[derive(Clone, Copy)]
struct Member {
    name: Span,
    value: Span,
}

/// A part of a text, which is shorter than 4 GiB.
#[derive(Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

const SLOTS: usize = 64;

/// Most claims sets have at most this many members.
const MAX_INLINE: usize = 16;

/// Returns a hash of a name. The claims of RFC 7519 §4.1, `scope` and `client_id` have different
/// ones.
#[inline(always)]
fn slot(name: &[u8]) -> usize {
    let middle = name.get(name.len() / 2).copied().unwrap_or_default();
    let (first, last) = (name.first(), name.last());
    let [first, last] = [first, last].map(|byte| byte.copied().unwrap_or_default());
    let sum = usize::from(first) * 7 + usize::from(middle) * 3 + usize::from(last) * 11;
    (sum + name.len()) % SLOTS
}

impl Members {
    fn empty() -> Self {
        Self { plain: SmallVec::new(), escaped: Vec::new(), slots: [0; SLOTS] }
    }

    /// Parses an object. Returns `None` if it is not valid, if there is trailing data, if a name
    /// occurs twice at any level, or if a member has more than 32 levels.
    pub(crate) fn parse(json: &str) -> Option<Self> {
        Parser::new(json).parse_object()
    }

    /// Returns the JSON of a member. `json` is the text from which the members were parsed.
    pub(crate) fn get<'a>(&self, json: &'a str, name: &str) -> Option<&'a str> {
        let is_named = |member: &&Member| member.name.is(json, name);
        let plain = match self.slots.get(slot(name.as_bytes())).map(|last| usize::from(*last)) {
            None | Some(0) => None,
            Some(last) => {
                let last = self.plain.get(last - 1).filter(is_named);
                last.or_else(|| self.plain.iter().find(is_named))
            }
        };
        let escaped = || self.escaped.iter().find(|(other, _)| **other == *name);
        plain.map(|member| member.value).or_else(|| Some(escaped()?.1))?.of(json)
    }

    /// Returns the names and the JSON of the values.
    pub(crate) fn iter<'a>(&'a self, json: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let (mut plain, mut escaped) = (self.plain.iter(), self.escaped.iter());
        iter::from_fn(move || match plain.next() {
            Some(member) => Some((member.name.of(json)?, member.value.of(json)?)),
            None => escaped.next().and_then(|(name, value)| Some((&**name, value.of(json)?))),
        })
    }

    /// Adds a member whose name contains no escape. Returns `None` for a duplicate among the first
    /// members; [`have_unique_names`](Self::have_unique_names) finds the others.
    #[inline(always)]
    fn push(&mut self, json: &str, name: &str, member: Member) -> Option<()> {
        let is_named = |other: &Member| other.name.is(json, name);
        let count = self.plain.len();
        let last = self.slots.get_mut(slot(name.as_bytes()))?;
        if *last != 0 && count < MAX_INLINE && self.plain.iter().any(is_named) {
            return None;
        }
        *last = u8::try_from(count + 1).unwrap_or(u8::MAX);
        self.plain.push(member);
        Some(())
    }

    /// Returns whether all names are different. [`push`](Self::push) has compared the first
    /// `MAX_INLINE` names without escapes.
    fn have_unique_names(&self, json: &str) -> bool {
        if self.escaped.is_empty() && self.plain.len() <= MAX_INLINE {
            return true;
        }
        let mut names = MemberNames::default();
        self.iter(json).for_each(|(name, _)| names.add(name.into()));
        names.are_unique()
    }

    /// Returns the size of the referenced memory, in bytes.
    #[cfg(feature = "token-cache")]
    pub(crate) fn heap_bytes(&self) -> usize {
        let escaped = self.escaped.iter().map(|(name, _)| name.len()).sum::<usize>();
        let plain = if self.plain.spilled() { self.plain.capacity() } else { 0 };
        size_of::<Self>()
            + plain * size_of::<Member>()
            + self.escaped.capacity() * size_of::<(Box<str>, Span)>()
            + escaped
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
        let mut members = Members::empty();
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
        let name = match self.parse_plain_string() {
            Some(name) => Cow::Borrowed(name),
            None => self.parse_with(PhantomData::<Text<'a>>)?.0,
        };
        let name_span = Span::new(start + 1, self.position() - 1)?;
        self.expect(b':')?;
        self.peek();
        let start = self.position();
        self.skip_value()?;
        let value = Span::new(start, self.position())?;
        match name {
            Cow::Borrowed(name) => members.push(self.json, name, Member { name: name_span, value }),
            Cow::Owned(name) => {
                members.escaped.push((name.into(), value));
                Some(())
            }
        }
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
    fn parse_plain_string(&mut self) -> Option<&'a str> {
        let [b'"', text @ ..] = self.rest else { return None };
        let length = memchr(b'"', text).filter(|_| self.plain)?;
        let start = self.position() + 1;
        self.rest = text.get(length + 1..)?;
        self.json.get(start..start + length)
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
    fn each_of_many_members_is_found() {
        for count in [15, 16, 17, 253, 254, 255, 256, 300] {
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
