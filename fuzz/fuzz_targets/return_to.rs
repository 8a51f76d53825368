//! Checks that no accepted `return_to` leads a browser to another origin.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_auth::session::ReturnTo;

/// Percent-decodes once, as a proxy might do before it redirects.
fn decode(text: &str) -> String {
    let (mut bytes, mut at) = (Vec::new(), 0);
    let text = text.as_bytes();
    while let Some(&byte) = text.get(at) {
        let digits = text.get(at + 1..at + 3).and_then(|two| std::str::from_utf8(two).ok());
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(code) if byte == b'%' => {
                bytes.push(code);
                at += 3;
            }
            _ => {
                bytes.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(bytes).expect("an accepted path is UTF-8 after decoding")
}

/// Asserts that a browser reads the path as one of the same origin, without a change.
fn assert_stays(path: &str) {
    assert!(path.starts_with('/'));
    assert!(!path.contains(['\\', '\t', '\n', '\r', '#']));
    let mut segments = path[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        assert!(is_last || !segment.is_empty(), "{path:?}");
        assert!(!matches!(segment, "." | ".."), "{path:?}");
    }
}

fuzz_target!(|text: &str| {
    let Some(page) = ReturnTo::parse(text) else { return };
    assert_eq!(page.as_str(), text);
    assert!(text.len() <= 1024 && text.bytes().all(|byte| byte.is_ascii_graphic()));
    let (path, _) = text.split_once('?').unwrap_or((text, ""));
    assert_stays(path);
    let decoded = decode(path);
    assert_stays(&decoded);
    // Decoding it again changes nothing.
    assert!(!decoded.contains('%'));
    // The value of `Location`.
    assert!(http::HeaderValue::try_from(text).is_ok());
});
