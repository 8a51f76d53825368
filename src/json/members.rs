use std::{borrow::Cow, fmt};

use memchr::memchr;
use serde::de::{Deserializer as _, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::strict::{DepthLimit, MemberNames, Text};

/// The positions of the members of a JSON object in its text.
#[derive(Clone, Default)]
pub(crate) struct Members {
    /// The members whose names contain no escape. Most claims sets have at most 16 members.
    plain: SmallVec<[(Span, Span); 16]>,
    /// The decoded names and the values of the other members.
    escaped: Vec<(Box<str>, Span)>,
}

/// A part of a text, which is shorter than 4 GiB.
#[derive(Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

impl Members {
    /// Parses an object. Rejects trailing data, duplicate names at every level, and too deep
    /// nesting.
    pub(crate) fn parse(json: &str) -> Result<Self, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let members = deserializer.deserialize_map(MembersVisitor(json))?;
        deserializer.end()?;
        Ok(members)
    }

    /// Returns the JSON of a member. `json` is the text from which the members were parsed.
    pub(crate) fn get<'a>(&self, json: &'a str, name: &str) -> Option<&'a str> {
        let is_named = |(span, _): &&(Span, Span)| span.of(json) == Some(name);
        let plain = self.plain.iter().find(is_named).map(|(_, value)| *value);
        let escaped = || self.escaped.iter().find(|(other, _)| **other == *name);
        plain.or_else(|| Some(escaped()?.1))?.of(json)
    }

    /// Returns the size of the referenced memory, in bytes.
    #[cfg(feature = "token-cache")]
    pub(crate) fn heap_bytes(&self) -> usize {
        let plain = if self.plain.spilled() { self.plain.capacity() } else { 0 };
        let escaped = self.escaped.iter().map(|(name, _)| name.len()).sum::<usize>();
        plain * size_of::<(Span, Span)>()
            + self.escaped.capacity() * size_of::<(Box<str>, Span)>()
            + escaped
    }

    /// Returns the names and the JSON of the values.
    pub(crate) fn iter<'a>(&'a self, json: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let plain = self.plain.iter().filter_map(|(name, value)| Some((name.of(json)?, *value)));
        let escaped = self.escaped.iter().map(|(name, value)| (&**name, *value));
        plain.chain(escaped).filter_map(|(name, value)| Some((name, value.of(json)?)))
    }
}

impl Span {
    /// Returns the position of `part`, a slice of `whole`.
    fn new(whole: &str, part: &str) -> Option<Self> {
        let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
        let end = start.checked_add(part.len()).filter(|end| *end <= whole.len())?;
        Some(Self { start: u32::try_from(start).ok()?, end: u32::try_from(end).ok()? })
    }

    #[inline]
    fn of(self, text: &str) -> Option<&str> {
        text.get(usize::try_from(self.start).ok()?..usize::try_from(self.end).ok()?)
    }
}

struct MembersVisitor<'a>(&'a str);

impl<'de> Visitor<'de> for MembersVisitor<'de> {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let span = |part| Span::new(self.0, part).ok_or_else(|| A::Error::custom("too long"));
        let (mut members, mut names) = (Members::default(), MemberNames::default());
        while let Some(Text(name)) = map.next_key()? {
            let value = map.next_value::<&'de RawValue>()?.get();
            if !is_plain(value) {
                DepthLimit::MAX.check(value).map_err(A::Error::custom)?;
            }
            match &name {
                Cow::Borrowed(name) => members.plain.push((span(name)?, span(value)?)),
                Cow::Owned(name) => members.escaped.push((name.as_str().into(), span(value)?)),
            }
            names.add(name);
        }
        names.check_unique()?;
        Ok(members)
    }
}

/// Returns whether a value that follows the grammar of JSON is also valid in other respects: it
/// has no escapes, is not nested, and is no number that may be out of range.
fn is_plain(value: &str) -> bool {
    match value.as_bytes() {
        [b'"', text @ ..] => memchr(b'\\', text).is_none(),
        [b'a'..=b'z', ..] => true,
        number => number.len() < 16 && number.iter().all(u8::is_ascii_digit),
    }
}
