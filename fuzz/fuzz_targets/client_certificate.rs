//! Reads the certificates in the headers of proxies.
//!
//! The first byte of the input selects the format: RFC 9440 (0), Envoy (1) or escaped PEM (2). The
//! rest is one line for each value of the header. Nothing panics, the certificate is one that the
//! value contains, and every error is a malformed request.
#![no_main]

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderName, HeaderValue, Request};
use libfuzzer_sys::fuzz_target;
use tower_auth::{RejectionKind, mtls::ClientCertificate};

const NAMES: [&str; 3] = ["client-cert", "x-forwarded-client-cert", "x-client-cert"];

fn source(format: usize) -> ClientCertificate {
    let proxies = "10.0.0.0/8";
    let source = match format {
        0 => ClientCertificate::client_cert_header(proxies),
        1 => ClientCertificate::envoy_xfcc(proxies),
        _ => ClientCertificate::escaped_pem_header(NAMES[2], proxies),
    };
    source.unwrap()
}

/// Removes backslashes, decodes all that can be percent-encoded, and removes line breaks.
fn plain(value: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let unescaped: Vec<u8> = value.iter().copied().filter(|byte| *byte != b'\\').collect();
    let mut rest = &*unescaped;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        match (first, digits) {
            (b'%', Some(digits)) => {
                let digits = std::str::from_utf8(digits).unwrap();
                decoded.push(u8::from_str_radix(digits, 16).unwrap());
                rest = &after[2..];
            }
            _ => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    decoded.retain(|byte| !b"\r\n".contains(byte));
    decoded
}

fuzz_target!(|input: &[u8]| {
    let Some((selector, rest)) = input.split_first() else { return };
    let format = usize::from(*selector) % NAMES.len();
    let mut head = Request::new(()).into_parts().0;
    let name = HeaderName::from_static(NAMES[format]);
    for value in rest.split(|byte| *byte == b'\n') {
        let Ok(value) = HeaderValue::from_bytes(value) else { return };
        head.headers.append(&name, value);
    }
    let from_proxy = source(format).peer(|_| Some([10, 0, 0, 1].into()));
    match from_proxy.find(&head) {
        Ok(None) => {}
        Ok(Some(certificate)) => {
            let values: Vec<_> = head.headers.get_all(&name).iter().collect();
            let [value] = values[..] else { panic!("{values:?}") };
            assert!(!certificate.der().is_empty());
            let base64 = BASE64_STANDARD.encode(certificate.der());
            let value = match format {
                0 => value.as_bytes().to_vec(),
                _ => plain(value.as_bytes()),
            };
            assert!(value.windows(base64.len()).any(|part| part == base64.as_bytes()));
        }
        Err(rejection) => assert!(
            rejection.kind() == RejectionKind::MalformedRequest
                || input.len() > 64 * 1024 && rejection.kind() == RejectionKind::InvalidCredentials
        ),
    }
    // From anyone else, the header is not read.
    for peer in [None, Some([192, 0, 2, 1].into())] {
        assert!(source(format).peer(move |_| peer).find(&head).unwrap().is_none());
    }
    from_proxy.conceal(&mut head);
    assert!(head.headers.is_empty());
});
