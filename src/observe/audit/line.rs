use std::{
    fmt::{self, Write as _},
    panic::{self, AssertUnwindSafe},
};

use super::date::Timestamp;

/// The longest line, with its line feed. The limits of all members of an event are below it.
pub(super) const MAX_LINE: usize = 16 * 1_024;
/// The longest text of a member, in bytes with escapes.
pub(super) const MAX_TEXT: usize = 1_024;
/// At most so many elements of a list are written, each of at most so many bytes with escapes.
#[cfg(any(feature = "jwks", test))]
const MAX_LIST: usize = 16;
#[cfg(any(feature = "jwks", test))]
const MAX_ELEMENT: usize = 256;
/// Marks a text that was cut.
const CUT: &str = "…";

/// Writes one event as a JSON object on one line.
pub(super) struct Line<'a>(&'a mut Vec<u8>);

impl<'a> Line<'a> {
    /// Starts a line with the members that each line has.
    pub(super) fn start(out: &'a mut Vec<u8>, time: Timestamp, event: &'static str) -> Self {
        out.extend_from_slice(b"{\"time\":\"");
        time.write(out);
        out.push(b'"');
        let mut line = Self(out);
        line.text("event", event);
        line
    }

    /// Adds a text. What exceeds [`MAX_TEXT`] is cut.
    pub(super) fn text(&mut self, name: &'static str, text: impl fmt::Display) {
        self.name(name);
        self.quoted(text, MAX_TEXT);
    }

    /// Adds a text that has been bounded.
    pub(super) fn bounded_text(&mut self, name: &'static str, text: impl fmt::Display) {
        self.name(name);
        self.quoted(text, MAX_LINE);
    }

    /// Adds a number, or `true` or `false`.
    pub(super) fn plain(&mut self, name: &'static str, value: impl Into<Plain>) {
        self.name(name);
        let value = match value.into() {
            Plain::Number(number) => write!(Unescaped(self.0), "{number}"),
            Plain::Millis(number) => write!(Unescaped(self.0), "{number:.3}"),
            Plain::Bool(value) => write!(Unescaped(self.0), "{value}"),
        };
        debug_assert!(value.is_ok(), "a Vec can be written");
    }

    /// Adds a list of texts, unless it is empty.
    #[cfg(any(feature = "jwks", test))]
    pub(super) fn list(&mut self, name: &'static str, texts: &[String]) {
        if texts.is_empty() {
            return;
        }
        self.name(name);
        for (index, text) in texts.iter().take(MAX_LIST).enumerate() {
            self.0.push(if index == 0 { b'[' } else { b',' });
            self.quoted(text, MAX_ELEMENT);
        }
        self.0.push(b']');
    }

    pub(super) fn end(self) {
        self.0.extend_from_slice(b"}\n");
    }

    fn name(&mut self, name: &'static str) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn quoted(&mut self, text: impl fmt::Display, limit: usize) {
        self.0.push(b'"');
        let end = self.0.len() + limit - CUT.len();
        let out = &mut *self.0;
        let write = || write!(Escape { out, end }, "{text}");
        // An error is that of the limit, or of a `Display` of the user, which can also panic.
        if !matches!(panic::catch_unwind(AssertUnwindSafe(write)), Ok(Ok(()))) {
            self.0.extend_from_slice(CUT.as_bytes());
        }
        self.0.push(b'"');
    }
}

/// A value that needs no quotes.
pub(super) enum Plain {
    Number(u64),
    Millis(f64),
    Bool(bool),
}

impl From<u32> for Plain {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u64> for Plain {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<std::time::Duration> for Plain {
    fn from(duration: std::time::Duration) -> Self {
        Self::Millis(duration.as_secs_f64() * 1_000.0)
    }
}

impl From<bool> for Plain {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

/// Appends a text as the content of a JSON string.
pub(super) fn escape_into(out: &mut Vec<u8>, text: &str) {
    let result = Escape { out, end: usize::MAX }.write_str(text);
    debug_assert!(result.is_ok(), "there is no limit");
}

/// Writes the content of a JSON string, and fails at the limit.
struct Escape<'a> {
    out: &'a mut Vec<u8>,
    end: usize,
}

impl Escape<'_> {
    fn push(&mut self, bytes: &[u8]) -> fmt::Result {
        if bytes.len() > self.end.saturating_sub(self.out.len()) {
            return Err(fmt::Error);
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }
}

impl fmt::Write for Escape<'_> {
    /// Control characters, line separators and characters that are invisible or change the
    /// direction of text are escaped, so that a line looks in an editor like what it is.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let is_plain = |byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        if text.bytes().all(is_plain) && self.push(text.as_bytes()).is_ok() {
            return Ok(());
        }
        text.chars().try_for_each(|character| {
            let mut buffer = [0; 4];
            match character {
                '"' => self.push(b"\\\""),
                '\\' => self.push(b"\\\\"),
                ' '..='~' => self.push(character.encode_utf8(&mut buffer).as_bytes()),
                // The debug form of a printable character is the character.
                _ if character.escape_debug().nth(1).is_none() => {
                    self.push(character.encode_utf8(&mut buffer).as_bytes())
                }
                _ => {
                    // Both halves of a surrogate pair, or none.
                    let mut escaped = [0; 12];
                    let mut units = [0; 2];
                    let units = character.encode_utf16(&mut units);
                    let length = units.len() * 6;
                    for (place, unit) in escaped.chunks_exact_mut(6).zip(units) {
                        let digit = |shift: u32| hex_digit(*unit >> shift & 15);
                        place.copy_from_slice(&[
                            b'\\',
                            b'u',
                            digit(12),
                            digit(8),
                            digit(4),
                            digit(0),
                        ]);
                    }
                    self.push(escaped.get(..length).unwrap_or_default())
                }
            }
        })
    }
}

fn hex_digit(value: u16) -> u8 {
    b"0123456789abcdef".get(usize::from(value)).copied().unwrap_or(b'0')
}

struct Unescaped<'a>(&'a mut Vec<u8>);

impl fmt::Write for Unescaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
