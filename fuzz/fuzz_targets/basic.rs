//! Any base64 behind `Basic`: what is read can be written again, and is the same.
#![no_main]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use libfuzzer_sys::fuzz_target;
use tower_auth::basic::BasicCredentials;

fuzz_target!(|encoded: &[u8]| {
    check(encoded);
    // Most bytes are no base64: let the fuzzer reach behind it.
    check(STANDARD.encode(encoded).as_bytes());
});

fn check(encoded: &[u8]) {
    let Ok(credentials) = BasicCredentials::decode(encoded) else { return };
    let (user_id, password) = (credentials.user_id(), credentials.password());
    assert!(!user_id.contains(':'));
    assert!(!user_id.chars().chain(password.chars()).any(char::is_control));
    assert_eq!(STANDARD.encode(format!("{user_id}:{password}")).as_bytes(), encoded);
}
