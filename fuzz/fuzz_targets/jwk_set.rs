//! Parses any key set, and any map of PEM texts. Invalid keys are skipped, and the others make a
//! validator or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_auth::{JwtAuth, jwt::Keys};

fuzz_target!(|json: &[u8]| {
    let sets = [Keys::from_json(json), Keys::from_pem_map(json)];
    for keys in sets.into_iter().flatten() {
        let keys = keys.allow_use("jwt-svid");
        let _ = format!("{keys:?}");
        if let Ok(tokens) = JwtAuth::builder(keys).issuer("i").audience("a").build() {
            for skipped in tokens.skipped_keys() {
                let _ = skipped.to_string();
            }
        }
    }
});
