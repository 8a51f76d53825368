//! Any `Authorization` field, before any scheme: it is taken apart, or it is refused.
#![no_main]

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use libfuzzer_sys::fuzz_target;
use tower_auth::credentials::Credentials;

fuzz_target!(|field: &[u8]| {
    let Ok(value) = HeaderValue::from_bytes(field) else { return };
    let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
    let Ok(Some(credentials)) = Credentials::from_headers(&headers) else { return };
    // What follows the scheme is the end of the field, without white space around it.
    let value = credentials.value();
    assert!(field.trim_ascii_end().ends_with(value));
    assert!(!value.starts_with(b" ") && !value.ends_with(b" "));
    // Its Debug shows none of that: it is the same for any other.
    if !value.is_empty() {
        let scheme = field.trim_ascii().split(|byte| *byte == b' ').next().unwrap();
        let other = HeaderValue::from_bytes(&[scheme, b" x"].concat()).unwrap();
        let headers = HeaderMap::from_iter([(AUTHORIZATION, other)]);
        let other = Credentials::from_headers(&headers).unwrap().unwrap();
        assert_eq!(format!("{credentials:?}"), format!("{other:?}"));
    }
});
