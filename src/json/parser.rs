use std::{borrow::Cow, marker::PhantomData};

use memchr::memchr;
use serde::de::{DeserializeSeed, IgnoredAny};

use super::strict::{DepthLimit, Text};

/// Parses JSON piece by piece, and finds where the pieces are in its text.
///
/// Nearly all claims sets are JSON without escapes and line breaks. For those, it finds the ends of
/// strings and whole numbers itself, in half the time of a general parser. It passes everything
/// else, such as fractions and nested values, to serde_json.
pub(super) struct Parser<'a> {
    json: &'a str,
    /// The input that is not parsed yet.
    rest: &'a [u8],
    /// Whether the input contains no backslash and no control character. If so, every string ends
    /// at the next quote.
    plain: bool,
}

impl<'a> Parser<'a> {
    pub(super) fn new(json: &'a str) -> Self {
        // Blocks of fixed size, so that the compiler vectorizes the check.
        let is_plain = |byte: &u8| (*byte >= b' ') & (*byte != b'\\');
        let (blocks, rest) = json.as_bytes().as_chunks::<16>();
        let all_plain =
            |block: &[u8; 16]| block.iter().fold(true, |all, byte| all & is_plain(byte));
        let plain = blocks.iter().all(all_plain) && rest.iter().all(is_plain);
        Self { json, rest: json.as_bytes(), plain }
    }

    /// Parses a name and a colon.
    #[inline(always)]
    pub(super) fn parse_name(&mut self) -> Option<Cow<'a, str>> {
        self.peek();
        let name = match self.parse_plain_string() {
            Some(name) => Cow::Borrowed(name),
            None => self.parse_with(PhantomData::<Text<'a>>)?.0,
        };
        self.expect(b':')?;
        Some(name)
    }

    /// Parses any value, and returns its JSON.
    #[inline(always)]
    pub(super) fn parse_value(&mut self) -> Option<&'a str> {
        self.peek();
        let start = self.position();
        let skipped = match self.rest.first()? {
            b'"' => self.parse_plain_string().map(drop),
            b'0'..=b'9' => self.skip_whole_number(),
            _ => None,
        };
        skipped.or_else(|| self.parse_with(DepthLimit::MAX))?;
        self.json.get(start..self.position())
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
        (canonical && matches!(rest, [b',' | b'}' | b']', ..])).then(|| self.rest = rest)
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
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.rest {
                [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] => self.rest = rest,
                rest => return rest.first().copied(),
            }
        }
    }

    #[inline(always)]
    pub(super) fn expect(&mut self, expected: u8) -> Option<()> {
        self.peek().filter(|byte| *byte == expected)?;
        self.rest = self.rest.get(1..)?;
        Some(())
    }
}
