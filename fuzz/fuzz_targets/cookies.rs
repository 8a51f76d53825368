//! Reads a token from any `Cookie` lines, and removes it. The result is that of a simple model.
//!
//! The input is one `Cookie` header per line.
#![no_main]

use std::sync::LazyLock;

use futures_util::FutureExt;
use http::{HeaderValue, Request, header::COOKIE};
use libfuzzer_sys::fuzz_target;
use tower_auth::{
    Authenticator, Principal, RejectionKind, Scheme,
    bearer::{BearerAuth, TokenVerifier, Verification},
    credentials::TokenLocation,
};
use tower_auth_test_support::cookies::CookieModel;

const NAME: &str = "__Host-token";

/// Accepts every token, and returns it as the subject.
struct Echo;

impl TokenVerifier for Echo {
    fn verify(&self, token: &str) -> Verification {
        Verification::ready(Ok(Principal::builder(token, Scheme::BEARER).build()))
    }
}

static TOKENS: LazyLock<BearerAuth<Echo>> =
    LazyLock::new(|| BearerAuth::new(Echo).token_from(TokenLocation::cookie(NAME)));

/// Returns whether a space, a tab or a comma comes after the characters of a token.
fn starts_with_token(value: &[u8]) -> bool {
    let is_other = |byte: &u8| !(byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte));
    matches!(value.iter().copied().find(is_other), Some(b' ' | b'\t' | b','))
}

fuzz_target!(|input: &[u8]| {
    let mut head = Request::new(()).into_parts().0;
    for line in input.split(|byte| *byte == b'\n') {
        let Ok(line) = HeaderValue::from_bytes(line) else { continue };
        head.headers.append(COOKIE, line);
    }
    let before: Vec<_> = head.headers.get_all(COOKIE).iter().cloned().collect();
    let model = CookieModel::new(before.iter().map(HeaderValue::as_bytes), NAME);

    let result = TOKENS.authenticate(&head).map(|result| result.now_or_never().unwrap());
    let result = result.map(|outcome| {
        let result = outcome.into_result();
        result.map(|caller| caller.subject().to_owned()).map_err(|rejection| rejection.kind())
    });
    let expected = match model.values[..] {
        [] | [[]] => None,
        [value] => Some(match str::from_utf8(value) {
            Ok(value) => Ok(value.to_owned()),
            // More than one token is a malformed request (RFC 6750 §3.1).
            Err(_) if starts_with_token(value) => Err(RejectionKind::MalformedRequest),
            Err(_) => Err(RejectionKind::InvalidCredentials),
        }),
        _ => Some(Err(RejectionKind::MalformedRequest)),
    };
    assert_eq!(result, expected);

    TOKENS.conceal(&mut head);
    let after: Vec<_> = head.headers.get_all(COOKIE).iter().collect();
    let left = CookieModel::new(after.iter().map(|line| line.as_bytes()), NAME);
    assert!(left.values.is_empty());
    assert_eq!(left.others, model.others);
    assert!(after.iter().all(|line| line.is_sensitive()));
    if !model.values.is_empty() {
        assert_eq!(after.len(), usize::from(!model.others.is_empty()));
    }
});
