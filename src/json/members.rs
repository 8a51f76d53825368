use std::{borrow::Cow, iter, ops::Range};

use smallvec::SmallVec;

use super::{
    parser::Parser,
    strict::{MemberNames, is_reserved},
};

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
    /// occurs twice at any level or is [reserved](is_reserved), or if a member has more than 32
    /// levels.
    pub(crate) fn parse(json: &str) -> Option<Self> {
        let (mut parser, mut members) = (Parser::new(json), Self::empty());
        parser.expect(b'{')?;
        if parser.peek()? != b'}' {
            loop {
                let name = parser.parse_name()?;
                let value = parser.parse_value()?;
                members.push(json, name, value)?;
                match parser.peek()? {
                    b',' => parser.expect(b',')?,
                    _ => break,
                }
            }
        }
        parser.expect(b'}')?;
        (parser.peek().is_none() && members.have_valid_names(json)).then_some(members)
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

    /// Returns the names and the JSON of the values, in the order of the object.
    pub(crate) fn iter<'a>(&'a self, json: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let (mut plain, mut escaped) = (self.plain.iter(), self.escaped.iter().peekable());
        iter::from_fn(move || {
            // Comparing the positions is enough, because members do not overlap.
            let next = plain.as_slice().first();
            let is_next = |(_, value): &&(Box<str>, Span)| {
                next.is_none_or(|member| value.start < member.value.start)
            };
            match escaped.next_if(is_next) {
                Some((name, value)) => Some((&**name, value.of(json)?)),
                None => {
                    let member = plain.next()?;
                    Some((member.name.of(json)?, member.value.of(json)?))
                }
            }
        })
    }

    /// Adds a member. Returns `None` for a duplicate among the first names, or a reserved name.
    /// [`have_valid_names`](Self::have_valid_names) finds the others.
    #[inline(always)]
    fn push(&mut self, json: &str, name: Cow<'_, str>, value: &str) -> Option<()> {
        let value = Span::new(json, value)?;
        let name = match name {
            Cow::Borrowed(name) => name,
            Cow::Owned(name) => {
                self.escaped.push((name.into(), value));
                return Some(());
            }
        };
        let is_named = |other: &Member| other.name.is(json, name);
        let count = self.plain.len();
        let last = self.slots.get_mut(slot(name.as_bytes()))?;
        let is_duplicate = *last != 0 && count < MAX_INLINE && self.plain.iter().any(is_named);
        if is_duplicate || is_reserved(name) {
            return None;
        }
        *last = u8::try_from(count + 1).unwrap_or(u8::MAX);
        self.plain.push(Member { name: Span::new(json, name)?, value });
        Some(())
    }

    /// Returns whether all names are different, and none is reserved. [`push`](Self::push) has
    /// checked the first `MAX_INLINE` names without escapes.
    fn have_valid_names(&self, json: &str) -> bool {
        if self.escaped.is_empty() && self.plain.len() <= MAX_INLINE {
            return true;
        }
        let mut names = MemberNames::default();
        self.iter(json).for_each(|(name, _)| names.add(name.into()));
        names.are_valid()
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
    /// Returns the position of `part`, a slice of `whole`.
    #[inline(always)]
    fn new(whole: &str, part: &str) -> Option<Self> {
        let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
        let end = start.checked_add(part.len()).filter(|end| *end <= whole.len())?;
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
        assert_eq!(names(json).unwrap(), ["a", "b", "c", "", "\""]);
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
            // serde_json can replace an object with these names by the text.
            "{\"$serde_json::private::Number\":\"1\"}",
            "{\"a\":{\"$serde_json::private::Number\":\"1\"}}",
            "{\"$serde_json::private::RawValue\":\"1\"}",
            "{\"\\u0024serde_json::private::RawValue\":\"1\"}",
            "{\"a\":[{\"$serde_json::private::RawValue\":\"1\"}]}",
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
