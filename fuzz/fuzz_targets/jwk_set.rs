//! Parses any key set. Invalid keys are skipped, and the others make a validator or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_auth::{JwtAuth, jwt::Keys};

fuzz_target!(|json: &[u8]| {
    let Ok(keys) = Keys::from_json(json) else { return };
    let _ = format!("{keys:?}");
    if let Ok(tokens) = JwtAuth::builder(keys).issuer("i").audience("a").build() {
        for skipped in tokens.skipped_keys() {
            let _ = skipped.to_string();
        }
    }
});
