use std::fmt::{self, Write as _};

/// Displays a value on one line of printable characters, for logs.
///
/// Everything else is escaped: control characters, which a terminal could interpret, line
/// separators, which could forge a line, and characters that are invisible or change the direction
/// of text. Quotes and `\` are not escaped.
pub(crate) struct Escaped<T>(pub(crate) T);

impl<T: fmt::Display> fmt::Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escape(f), "{}", self.0)
    }
}

struct Escape<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escape<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return self.0.write_str(text);
        }
        text.chars().try_for_each(|character| match character {
            ' '..='~' => self.0.write_char(character),
            _ => character.escape_debug().try_for_each(|escaped| self.0.write_char(escaped)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unprintable_characters_are_escaped() {
        let text = "a\u{1b}]0;x\u{7}\u{9b}31m\r\n\u{85}\u{2028}\u{202e}\u{feff}\u{a0}é漢\"\\ ~";
        let escaped = "a\\u{1b}]0;x\\u{7}\\u{9b}31m\\r\\n\\u{85}\\u{2028}\\u{202e}\\u{feff}\\u{a0}\
                       é漢\"\\ ~";
        assert_eq!(Escaped(text).to_string(), escaped);
        assert_eq!(Escaped("plain text").to_string(), "plain text");
        let unprintable = |character: &char| {
            character.is_control() || (character.is_whitespace() && *character != ' ')
        };
        for character in (char::MIN..=char::MAX).filter(unprintable) {
            let escaped = Escaped(character).to_string();
            assert!(escaped.starts_with('\\') && escaped.is_ascii(), "{character:?}");
        }
    }
}
