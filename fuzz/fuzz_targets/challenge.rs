//! Parses the header value of a challenge with any parameters, and compares the parameters.
//!
//! The parser here is an independent parser of quoted-strings (RFC 9110 §5.6.4).
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_auth::{Challenge, Scheme};

fuzz_target!(|text: &str| {
    let (realm, scope) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(challenge) = Challenge::new(Scheme::BEARER).with_param("realm", realm) else { return };
    let with_scope = challenge.with_param("scope", scope);
    let (challenge, params) = match with_scope {
        Ok(challenge) => (challenge, vec![("realm", realm), ("scope", scope)]),
        Err(_) => (challenge, vec![("realm", realm)]),
    };
    let value = challenge.to_header_value();
    assert!(!value.as_bytes().iter().any(u8::is_ascii_control));
    let parsed = parse_challenge(std::str::from_utf8(value.as_bytes()).unwrap()).unwrap();
    assert!(parsed.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(params));
});

fn parse_challenge(value: &str) -> Option<Vec<(String, String)>> {
    let mut rest = value.strip_prefix("Bearer ")?;
    let mut params = Vec::new();
    loop {
        let (name, after) = rest.split_once("=\"")?;
        let (mut value, mut characters) = (String::new(), after.char_indices());
        let end = loop {
            match characters.next()? {
                (_, '\\') => value.push(characters.next()?.1),
                (at, '"') => break at,
                (_, character) => value.push(character),
            }
        };
        params.push((name.to_owned(), value));
        match after.get(end + 1..)? {
            "" => return Some(params),
            more => rest = more.strip_prefix(", ")?,
        }
    }
}
