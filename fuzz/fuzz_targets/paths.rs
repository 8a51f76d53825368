//! Checks any path against public routes.
//!
//! A path that matches must mean the same to the inner service, however that service decodes and
//! resolves paths.
#![no_main]

use std::sync::LazyLock;

use http::{Request, Uri};
use libfuzzer_sys::fuzz_target;
use tower_auth::{
    Policy as _,
    authorize::{Routes, public},
};

static ROUTES: LazyLock<Routes> =
    LazyLock::new(|| Routes::new().route("/open/{*rest}", public()).route("/users/{id}", public()));

/// Percent-decodes until nothing changes, as a chain of services might do.
fn decode_fully(path: &str) -> Vec<u8> {
    let mut bytes = path.as_bytes().to_vec();
    loop {
        let mut next = Vec::new();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let digits = bytes.get(at + 1..at + 3).and_then(|two| std::str::from_utf8(two).ok());
            let code = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
            match code {
                Some(code) if byte == b'%' => {
                    next.push(code);
                    at += 3;
                }
                _ => {
                    next.push(byte);
                    at += 1;
                }
            }
        }
        if next == bytes {
            return next;
        }
        bytes = next;
    }
}

fuzz_target!(|path: &str| {
    let Ok(uri) = path.parse::<Uri>() else { return };
    let head = Request::builder().uri(uri.clone()).body(()).unwrap().into_parts().0;
    if !ROUTES.is_public(&head) {
        return;
    }
    let path = decode_fully(uri.path());
    let segments: Vec<_> = path.split(|byte| matches!(byte, b'/' | b'\\')).collect();
    assert!(segments[0].is_empty());
    assert!(!segments.iter().any(|segment| matches!(*segment, b"." | b"..")));
    assert!(!path.iter().any(|byte| matches!(byte, 0..32 | 127 | b'?' | b'#' | b';' | b'%')));
    let text = std::str::from_utf8(&path).unwrap();
    assert!(text.split('/').all(|segment| segment.trim() == segment));
    match segments[1] {
        b"open" => assert!(segments.len() > 2),
        b"users" => assert!(segments.len() == 3 && !segments[2].is_empty()),
        _ => panic!("{path:?} matches no route"),
    }
});
