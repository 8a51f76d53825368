//! What the store contains.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tower_auth::store::Purpose;

use super::{
    super::fixture::{Fixture, log_in_as, next},
    issuer,
};

#[test]
fn records_contain_neither_tokens_nor_claims() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let first = log_in_as(&issuer, "mallory@example.com");
    let second = next(&issuer, &first);
    let records = fixture.store.snapshot();
    let kept = records.keys().filter(|key| key.purpose() == Purpose::AccessToken).count();
    assert_eq!(kept, 2);
    let mut forbidden: Vec<Vec<u8>> =
        ["mallory", "orders", "read write", "https://login"].map(|text| text.into()).into();
    for pair in [&first, &second] {
        let text = pair.access_token().strip_prefix("at_").unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(text).unwrap();
        forbidden.extend([
            text.as_bytes()[..8].to_vec(),
            bytes[..8].to_vec(),
            bytes[32..].to_vec(),
        ]);
    }
    for (key, (value, _)) in &records {
        for stored in [key.as_bytes().as_slice(), value, key.to_string().as_bytes()] {
            for text in &forbidden {
                assert!(!stored.windows(text.len()).any(|part| part == text), "{key:?}");
            }
        }
    }
}
