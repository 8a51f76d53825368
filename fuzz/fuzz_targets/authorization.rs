//! Parses any `Authorization` header, independent of the scheme.
#![no_main]

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use libfuzzer_sys::fuzz_target;
use tower_auth::credentials::Credentials;

fuzz_target!(|field: &[u8]| {
    let Ok(value) = HeaderValue::from_bytes(field) else { return };
    let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
    let Ok(Some(credentials)) = Credentials::from_headers(&headers) else { return };
    // The value is the end of the header, without surrounding white space.
    let value = credentials.value();
    assert!(field.trim_ascii_end().ends_with(value));
    assert!(!value.starts_with(b" ") && !value.ends_with(b" "));
    // `Debug` does not show the value: the output is the same for any other value.
    if !value.is_empty() {
        let scheme = field.trim_ascii().split(|byte| *byte == b' ').next().unwrap();
        let other = HeaderValue::from_bytes(&[scheme, b" x"].concat()).unwrap();
        let headers = HeaderMap::from_iter([(AUTHORIZATION, other)]);
        let other = Credentials::from_headers(&headers).unwrap().unwrap();
        assert_eq!(format!("{credentials:?}"), format!("{other:?}"));
    }
});
