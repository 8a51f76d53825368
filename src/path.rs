//! The rules for paths.

use std::borrow::Cow;

/// Returns whether a path has only one spelling: see [`decode_plain_path`].
pub(crate) fn is_plain_path(path: &str) -> bool {
    decode_plain_path(path).is_some()
}

/// Percent-decodes a path that has only one spelling, and that means the same if a server decodes
/// it and parses the result again. Returns `None` for any other path.
///
/// Such a path has no empty and no dot segments, and no `\`, `;` or `"`. It does not encode
///
/// - a character that needs no encoding (RFC 3986 §6.2.2);
/// - a delimiter (`/`, `\`, `;`, `?`, `#`), or a `%`, which would be decoded twice;
/// - a control character or a line separator;
/// - white space at an end of a segment, which a server may remove;
/// - octets that are not UTF-8, such as an overlong `/`.
pub(crate) fn decode_plain_path(path: &str) -> Option<Cow<'_, str>> {
    let inner = path.strip_prefix('/')?;
    let mut segments = inner.strip_suffix('/').unwrap_or(inner).split('/');
    let is_ambiguous =
        |segment: &str| matches!(segment, "." | "..") || (segment.is_empty() && !inner.is_empty());
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !is_delimiter(byte) && byte != b'"';
    if segments.any(is_ambiguous) || !path.bytes().all(|byte| byte == b'/' || is_plain(byte)) {
        return None;
    }
    if !path.contains('%') {
        return Some(Cow::Borrowed(path));
    }
    let mut parts = path.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let [high, low, rest @ ..] = part.as_bytes() else { return None };
        let byte = hex_digit(*high)? << 4 | hex_digit(*low)?;
        let is_unreserved =
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        if is_unreserved || is_delimiter(byte) || byte == b'%' {
            return None;
        }
        bytes.push(byte);
        bytes.extend_from_slice(rest);
    }
    let decoded = String::from_utf8(bytes).ok()?;
    let is_separator =
        |character: char| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}');
    let is_trimmed = |segment: &str| {
        // The byte order mark is white space for some languages.
        let is_space = |character: char| character.is_whitespace() || character == '\u{feff}';
        !segment.starts_with(is_space) && !segment.ends_with(is_space)
    };
    let is_unambiguous = !decoded.contains(is_separator) && decoded.split('/').all(is_trimmed);
    is_unambiguous.then_some(Cow::Owned(decoded))
}

/// Returns whether a server may end a path or a segment at this byte.
fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b'/' | b'\\' | b';' | b'?' | b'#')
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_with_more_than_one_spelling_is_not_plain() {
        for plain in ["/", "/a", "/a/", "/a/b.c", "/a%20b", "/%C3%A4", "/a/b/c", "/...", "/a:b@c"] {
            assert!(is_plain_path(plain), "{plain}");
        }
        for plain in ["/a%3A%40", "/%22a%22", "/a%C2%A0b", "/%F0%9F%A6%80", "/a%EF%BB%BFb"] {
            assert!(is_plain_path(plain), "{plain}");
        }
        for path in [
            "",
            "a",
            "*",
            "//",
            "/a//b",
            "//a",
            "/a/../b",
            "/a/./b",
            "/a/..",
            "/%2e%2e/b",
            "/%61",
            "/a%2Fb",
            "/a%5cb",
            "/a%00",
            "/a%2",
            "/a%zz",
            "/a%",
            "/a;b",
            "/a%3Bb",
            "/a%25b",
            "/a//",
            "/a%+1",
            "/ä",
            "/a b",
            "/a\"b",
            "/a\\b",
            "/a?b",
            "/a#b",
        ] {
            assert!(!is_plain_path(path), "{path}");
        }
        assert_eq!(decode_plain_path("/a%20b/%C3%A4%3a").unwrap(), "/a b/ä:");
    }

    /// Each of these means something else after a server has decoded the path: another path, or a
    /// path without this character.
    #[test]
    fn encoding_that_changes_the_meaning_of_a_path_is_not_plain() {
        let encode = |bytes: &[u8], is_upper: bool| {
            let digits = |byte: &u8| match is_upper {
                true => format!("%{byte:02X}"),
                false => format!("%{byte:02x}"),
            };
            bytes.iter().map(digits).collect::<String>()
        };
        let control = (0..0x20).chain(0x7f..0xa0).filter_map(char::from_u32);
        let anywhere = control.chain("/\\;?#%.-_~a0Z\u{2028}\u{2029}".chars());
        let at_an_end = " \u{a0}\u{1680}\u{2003}\u{202f}\u{205f}\u{3000}\u{feff}".chars();
        let anywhere = anywhere.map(|character| (character.to_string().into_bytes(), true));
        let at_an_end = at_an_end.map(|character| (character.to_string().into_bytes(), false));
        // Overlong forms of `/` and `.`, a surrogate, and octets that a decoder may drop.
        let not_utf8: [&[u8]; 11] = [
            b"\xc0\xaf",
            b"\xc0\xae",
            b"\xe0\x80\xaf",
            b"\xf0\x80\x80\xaf",
            b"\xf8\x80\x80\x80\xaf",
            b"\xfc\x80\x80\x80\x80\xaf",
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"\x80",
            b"\xc3",
            b"\xff",
        ];
        let not_utf8 = not_utf8.map(|bytes| (bytes.to_vec(), true));
        for (bytes, is_ambiguous_inside) in anywhere.chain(at_an_end).chain(not_utf8) {
            for is_upper in [false, true] {
                let code = encode(&bytes, is_upper);
                for path in ["/admin@", "/@admin", "/admin@/", "/@admin/x", "/x/admin@/y", "/@"] {
                    let path = path.replace('@', &code);
                    assert!(!is_plain_path(&path), "{path}");
                }
                let inside = format!("/ad{code}min");
                assert_eq!(is_plain_path(&inside), !is_ambiguous_inside, "{inside}");
                let twice = format!("/ad{}min", code.replace('%', "%25"));
                assert!(!is_plain_path(&twice), "{twice}");
            }
        }
    }
}
