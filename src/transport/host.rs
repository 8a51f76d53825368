//! The host that a client used.

use http::{header::HOST, request::Parts};

/// Returns the host that the request names: `:authority` or `Host`.
pub(crate) fn requested_host(head: &Parts) -> Option<&str> {
    if let Some(authority) = head.uri.authority() {
        return parse_host(authority.as_str().as_bytes());
    }
    let mut lines = head.headers.get_all(HOST).iter();
    match (lines.next(), lines.next()) {
        (Some(host), None) => parse_host(host.as_bytes()),
        _ => None,
    }
}

/// Returns the text if it is a host with an optional port (RFC 3986 §3.2.2, RFC 9110 §7.2).
pub(crate) fn parse_host(text: &[u8]) -> Option<&str> {
    let text = str::from_utf8(text).ok()?;
    let (is_host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            (is_address(address), port)
        }
        None => {
            let end = text.find(':').unwrap_or(text.len());
            let (name, port) = text.split_at_checked(end)?;
            (is_name(name), port)
        }
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    let is_port = digits.bytes().all(|byte| byte.is_ascii_digit())
        && (port.is_empty() || digits.len() < port.len());
    (is_host && is_port).then_some(text)
}

fn is_address(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    !text.is_empty() && text.bytes().all(is_allowed)
}

fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte);
    !text.is_empty() && text.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn host_is_a_name_or_an_address_with_an_optional_port() {
        for host in [
            "app.example",
            "app.example:8443",
            "APP.example.",
            "app.example:",
            "xn--bcher-kva.example",
            "my_host",
            "localhost",
            "192.0.2.1:80",
            "[2001:db8::1]",
            "[::1]:8443",
        ] {
            assert_eq!(parse_host(host.as_bytes()), Some(host));
        }
        for host in [
            "",
            ":80",
            "a b",
            " a",
            "a\t",
            "user@app.example",
            "a/b",
            "a\\b",
            "a?b",
            "a#b",
            "a\"",
            "<a>",
            "http://app.example",
            "a:80:80",
            "a:x",
            "[::1",
            "[]",
            "[::1]x",
            "[::1]80",
            "[a b]",
            "::1",
            "bücher.example",
            "a\u{7f}",
        ] {
            assert_eq!(parse_host(host.as_bytes()), None, "{host}");
        }
        assert_eq!(parse_host(b"a\xff"), None);
    }

    #[test]
    fn authority_precedes_host_and_two_host_lines_are_unknown() {
        let head = |uri: &str, hosts: &[&str]| {
            let mut request = Request::builder().uri(uri);
            for host in hosts {
                request = request.header(HOST, *host);
            }
            request.body(()).unwrap().into_parts().0
        };
        for (uri, hosts, expected) in [
            ("/", &["a.example"][..], Some("a.example")),
            ("http://b.example/", &["a.example"], Some("b.example")),
            ("http://user@b.example/", &["a.example"], None),
            ("/", &["a.example", "a.example"], None),
            ("/", &["a@b"], None),
            ("/", &[], None),
        ] {
            assert_eq!(requested_host(&head(uri, hosts)), expected, "{uri} {hosts:?}");
        }
    }
}
