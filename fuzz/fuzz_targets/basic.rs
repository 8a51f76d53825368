//! Decodes any Basic credentials. Encoding the result again restores the input.
#![no_main]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use libfuzzer_sys::fuzz_target;
use tower_auth::basic::BasicCredentials;

fuzz_target!(|encoded: &[u8]| {
    check_round_trip(encoded);
    // Most inputs are not base64. Encode them, so that the fuzzer reaches the code behind it.
    check_round_trip(STANDARD.encode(encoded).as_bytes());
});

fn check_round_trip(encoded: &[u8]) {
    let Ok(credentials) = BasicCredentials::decode(encoded) else { return };
    let (user_id, password) = (credentials.user_id(), credentials.password());
    assert!(!user_id.contains(':'));
    assert!(!user_id.chars().chain(password.chars()).any(char::is_control));
    assert_eq!(STANDARD.encode(format!("{user_id}:{password}")).as_bytes(), encoded);
}
