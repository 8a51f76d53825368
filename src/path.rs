//! Which paths have one spelling.

/// Whether this is a path without empty, dot or odd parts, in which nothing is encoded that need not be (RFC 3986
/// §6.2.2), nor what would mean something else if it were not.
pub(crate) fn is_plain(path: &str) -> bool {
    let Some(inner) = path.strip_prefix('/') else { return false };
    let mut segments = inner.strip_suffix('/').unwrap_or(inner).split('/');
    let odd =
        |segment: &str| matches!(segment, "." | "..") || (segment.is_empty() && !inner.is_empty());
    let sound = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b';' | b'"');
    if segments.any(odd) || !path.bytes().all(sound) {
        return false;
    }
    path.split('%').skip(1).all(|after| {
        let code = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        code.is_some_and(|byte| {
            let unreserved =
                byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
            !unreserved && !matches!(byte, b'/' | b'\\' | b';' | b'%' | 0..32 | 127)
        })
    })
}

/// A plain path without its encoding. What is no UTF-8 stands for nothing that a pattern could name.
pub(crate) fn decoded(path: &str) -> String {
    let mut parts = path.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).unwrap_or(("", part));
        bytes.extend(u8::from_str_radix(digits, 16).ok());
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_two_spellings_is_not_plain() {
        for plain in ["/", "/a", "/a/", "/a/b.c", "/a%20b", "/%C3%A4", "/a/b/c", "/...", "/a:b@c"] {
            assert!(is_plain(plain), "{plain}");
        }
        for odd in [
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
        ] {
            assert!(!is_plain(odd), "{odd}");
        }
        assert_eq!(decoded("/a%20b/%C3%A4%3a"), "/a b/ä:");
    }
}
