//! Authenticates requests that carry any bytes in any place. Nothing panics, every token is
//! rejected, and no token remains in `Sec-WebSocket-Protocol`.
//!
//! The input is one line for each header: a digit that selects its name, then its value.
#![no_main]

use std::sync::LazyLock;

use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, Request};
use libfuzzer_sys::fuzz_target;
use tower_auth::{Authenticator, JwtAuth, RejectionKind, credentials::TokenLocation, jwt::Keys};

const NAMES: [HeaderName; 4] = [
    http::header::AUTHORIZATION,
    http::header::SEC_WEBSOCKET_PROTOCOL,
    HeaderName::from_static("x-token"),
    HeaderName::from_static("x-prefixed"),
];
const KUBERNETES: &[u8] = b"base64url.bearer.authorization.k8s.io.";

static TOKENS: LazyLock<JwtAuth> = LazyLock::new(|| {
    // The secret is random, so no input can have a valid signature.
    let mut secret = [0; 32];
    aws_lc_rs::rand::fill(&mut secret).unwrap();
    let keys = Keys::hs256(&secret);
    JwtAuth::builder(keys)
        .issuer("https://issuer.example")
        .audience("a")
        .token_from(TokenLocation::authorization())
        .token_from(TokenLocation::websocket_protocol())
        .token_from(TokenLocation::websocket_protocol_with_prefix("bearer."))
        .token_from(TokenLocation::header("x-token"))
        .token_from(TokenLocation::header_with_prefix("x-prefixed", "Token "))
        .build()
        .unwrap()
});

fn entries(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let entries = line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    entries.filter(|entry| !entry.is_empty())
}

fn is_token(entry: &[u8]) -> bool {
    entry.starts_with(KUBERNETES) || entry.starts_with(b"bearer.")
}

fuzz_target!(|input: &[u8]| {
    let mut head = Request::new(()).into_parts().0;
    for line in input.split(|byte| *byte == b'\n').take(16) {
        let [selector, value @ ..] = line else { continue };
        let Ok(value) = HeaderValue::from_bytes(value) else { continue };
        head.headers.append(&NAMES[usize::from(*selector) % NAMES.len()], value);
    }
    let result = TOKENS.authenticate(&head).map(|result| result.now_or_never().unwrap());
    let kind = result.map(|outcome| outcome.into_result().unwrap_err().kind());

    let protocols = |headers: &http::HeaderMap| {
        let lines = headers.get_all(http::header::SEC_WEBSOCKET_PROTOCOL).iter();
        lines.flat_map(entries).map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    let before = protocols(&head.headers);
    let tokens = before.iter().filter(|entry| is_token(entry)).count();
    match tokens {
        0 => {}
        1 => assert!(kind.is_some()),
        _ => assert_eq!(kind, Some(RejectionKind::MalformedRequest)),
    }
    // Only the entries with tokens are removed.
    TOKENS.conceal(&mut head);
    let others: Vec<_> = before.into_iter().filter(|entry| !is_token(entry)).collect();
    assert_eq!(protocols(&head.headers), others);
});
