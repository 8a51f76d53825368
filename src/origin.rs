//! Origins: scheme, host and port (RFC 6454).

use std::{borrow::Cow, fmt, net::Ipv6Addr};

#[cfg(feature = "client")]
use http::Uri;

use crate::url::is_possible_host;
#[cfg(feature = "client")]
use crate::{config_error::ConfigError, url::has_possible_authority};

/// An origin. The scheme is in lower case, and hosts are compared without regard to case.
#[derive(Clone, Debug)]
pub(crate) struct Origin<'a> {
    scheme: Cow<'a, str>,
    host: Cow<'a, str>,
    /// Never the default port of the scheme.
    port: Option<u16>,
}

impl<'a> Origin<'a> {
    /// Parses the value of an `Origin` header. Returns `None` if it is `null`, or a browser cannot
    /// send it.
    pub(crate) fn from_header(value: &'a [u8]) -> Option<Self> {
        let (scheme, authority) = str::from_utf8(value).ok()?.split_once("://")?;
        Self::from_authority(scheme, authority).filter(|origin| is_possible_host(&origin.host))
    }

    /// Returns the origin of a request for this scheme and host, such as `app.example:8443`.
    pub(crate) fn from_authority(scheme: &'a str, authority: &'a str) -> Option<Self> {
        let (host, port) = split_port(authority)?;
        Some(Self::new(scheme.into(), host.into(), port))
    }

    fn new(scheme: Cow<'a, str>, host: Cow<'a, str>, port: Option<u16>) -> Self {
        let port = port.filter(|port| default_port(&scheme) != Some(*port));
        Self { scheme, host, port }
    }

    /// Returns whether the origins differ only in the scheme.
    pub(crate) fn has_same_host(&self, other: &Self) -> bool {
        self.port == other.port && self.host.eq_ignore_ascii_case(&other.host)
    }

    /// Returns the form in which a browser sends the origin of this URL, or `None` if it is not a
    /// URL with an origin.
    pub(crate) fn browser_form(url: &str) -> Option<String> {
        let (scheme, rest) = url.split_once("://")?;
        let scheme = match &*scheme.to_ascii_lowercase() {
            "ws" => "http".to_owned(),
            "wss" => "https".to_owned(),
            other => other.to_owned(),
        };
        let is_scheme_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        if !scheme.starts_with(|c: char| c.is_ascii_lowercase())
            || !scheme.bytes().all(is_scheme_byte)
        {
            return None;
        }
        let authority = rest.split(['/', '\\', '?', '#']).next()?;
        let authority = authority.rsplit('@').next()?;
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !authority.ends_with(']') => (host, port),
            _ => (authority, ""),
        };
        let port = match port {
            "" => None,
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse::<u16>().ok().filter(|port| *port != 0)?)
            }
            _ => return None,
        };
        if !is_possible_host(host) {
            return None;
        }
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => format!("[{}]", ipv6_text(address.parse().ok()?)),
            // The host of another scheme is opaque, so browsers do not change it.
            None if matches!(&*scheme, "http" | "https") => host.to_ascii_lowercase(),
            None => host.to_owned(),
        };
        Some(Origin::new(scheme.into(), host.into(), port).to_string())
    }
}

impl PartialEq for Origin<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.has_same_host(other)
    }
}

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(feature = "client")]
impl Origin<'static> {
    /// Parses an origin from the configuration.
    pub(crate) fn parse(origin: &str) -> Result<Self, ConfigError> {
        let uri = origin.parse::<Uri>().ok().filter(|uri| {
            let authority = uri.authority().map_or("", |authority| authority.as_str());
            // `http::Uri` drops fragments, so the text is checked.
            matches!(uri.path(), "" | "/")
                && uri.query().is_none()
                && !authority.contains('@')
                && !origin.contains('#')
        });
        uri.as_ref().and_then(Origin::of).map(Origin::into_owned).ok_or_else(|| {
            ConfigError::invalid(
                "only_to: an origin must consist of a scheme, a host without wildcards and an \
                 optional port from 1 to 65535, such as https://api.example:8443",
            )
        })
    }
}

#[cfg(feature = "client")]
impl<'a> Origin<'a> {
    /// Returns the origin of an absolute URI, or `None` if the host or the port is impossible.
    pub(crate) fn of(uri: &'a Uri) -> Option<Self> {
        let scheme = uri.scheme_str()?;
        let scheme = match scheme.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => scheme.to_ascii_lowercase().into(),
            false => scheme.into(),
        };
        let host = uri.host().filter(|_| has_possible_authority(uri))?;
        Some(Self::new(scheme, host.into(), uri.port_u16()))
    }

    fn into_owned(self) -> Origin<'static> {
        let Self { scheme, host, port } = self;
        Origin { scheme: scheme.into_owned().into(), host: host.into_owned().into(), port }
    }
}

/// Returns the port that a URL with this scheme has if it does not name one.
pub(crate) fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

/// Splits `host:port`. Returns `None` if the port is not written as a browser writes it.
pub(crate) fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.rsplit_once(':') {
        Some(parts) if !authority.ends_with(']') => parts,
        _ => return Some((authority, None)),
    };
    let is_plain = !port.starts_with('0') && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|_| is_plain)?;
    Some((host, Some(port)))
}

/// Writes an IPv6 address as browsers do: without a part in the form of an IPv4 address.
fn ipv6_text(address: Ipv6Addr) -> String {
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] => format!("::ffff:{high:x}:{low:x}"),
        _ => address.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn are_equal(origin: &str, scheme: &str, authority: &str) -> bool {
        let own = Origin::from_authority(scheme, authority);
        own.is_some() && Origin::from_header(origin.as_bytes()) == own
    }

    #[test]
    fn origins_with_the_same_scheme_host_and_port_are_equal() {
        for (origin, scheme, authority) in [
            ("https://app.example", "https", "app.example"),
            ("https://app.example", "https", "app.example:443"),
            ("https://app.example:443", "https", "app.example"),
            ("http://app.example", "http", "app.example:80"),
            ("https://app.example", "https", "App.EXAMPLE"),
            ("https://app.example:8443", "https", "app.example:8443"),
            ("http://localhost:3000", "http", "localhost:3000"),
            ("http://127.0.0.1:80", "http", "127.0.0.1"),
            ("https://[2001:db8::443]", "https", "[2001:DB8::443]"),
            ("https://[::1]:8443", "https", "[::1]:8443"),
            ("https://xn--bcher-kva.example", "https", "xn--bcher-kva.example"),
        ] {
            assert!(are_equal(origin, scheme, authority), "{origin} {scheme} {authority}");
        }
    }

    #[test]
    fn other_or_malformed_origins_are_not_equal() {
        for (origin, scheme, authority) in [
            ("null", "https", "null"),
            ("null", "https", "app.example"),
            ("", "https", "app.example"),
            ("app.example", "https", "app.example"),
            ("http://app.example", "https", "app.example"),
            ("https://app.example", "http", "app.example"),
            ("https://app.example:80", "https", "app.example"),
            ("https://app.example:8443", "https", "app.example"),
            ("https://app.example", "https", "app.example:8443"),
            ("https://evil.example", "https", "app.example"),
            ("https://app.example.evil.example", "https", "app.example"),
            ("https://evilapp.example", "https", "app.example"),
            ("https://app.example.", "https", "app.example"),
            ("https://user@app.example", "https", "app.example"),
            ("https://user@app.example", "https", "user@app.example"),
            ("https://app.example/", "https", "app.example"),
            ("https://app.example/", "https", "app.example/"),
            ("https://app.example/a", "https", "app.example/a"),
            ("https://app.example?a", "https", "app.example"),
            ("https://app.example#a", "https", "app.example"),
            ("https://app.example:", "https", "app.example"),
            ("https://app.example:", "https", "app.example:"),
            ("https://app.example:0443", "https", "app.example"),
            ("https://app.example:+443", "https", "app.example"),
            ("https://app.example:0", "https", "app.example:0"),
            ("https://app.example:65979", "https", "app.example"),
            ("https://app.example:443:443", "https", "app.example"),
            ("https:app.example", "https", "app.example"),
            ("HTTPS://app.example", "https", "app.example"),
            (" https://app.example", "https", "app.example"),
            ("https://app.example https://app.example", "https", "app.example"),
            ("https://app.example, https://app.example", "https", "app.example"),
            ("https://bücher.example", "https", "bücher.example"),
            ("https://app%2eexample", "https", "app.example"),
            ("https://::1", "https", "::1"),
            ("https://", "https", ""),
        ] {
            assert!(!are_equal(origin, scheme, authority), "{origin} {scheme} {authority}");
        }
        assert!(Origin::from_header(b"https://app.example\xff").is_none());
    }

    #[test]
    fn browser_form_is_what_browsers_send() {
        for (url, form) in [
            ("https://a.example", "https://a.example"),
            ("https://A.example:443/", "https://a.example"),
            ("HTTP://a.example:080/path?x#y", "http://a.example"),
            ("https://a.example:8443/", "https://a.example:8443"),
            ("https://user:secret@a.example", "https://a.example"),
            ("wss://a.example", "https://a.example"),
            ("ws://a.example:80", "http://a.example"),
            ("http://a.example:443", "http://a.example:443"),
            ("https://a.example.", "https://a.example."),
            ("http://127.0.0.1:80", "http://127.0.0.1"),
            ("http://[0:0:0:0:0:0:0:1]:3000", "http://[::1]:3000"),
            ("http://[::FFFF:127.0.0.1]", "http://[::ffff:7f00:1]"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
            ("safari-web-extension://0A1B-C", "safari-web-extension://0A1B-C"),
        ] {
            assert_eq!(Origin::browser_form(url).as_deref(), Some(form), "{url}");
            assert_eq!(Origin::browser_form(form).as_deref(), Some(form), "{url}");
        }
        for other in [
            "",
            "null",
            "a.example",
            "*",
            "https://*",
            "https://*.a.example",
            "https://",
            "://a.example",
            "https://a..example",
            "https://a.example:0",
            "https://a.example:65536",
            "https://a.example:x",
            "https://bücher.example",
            "https://999.1.1.1",
            "https://[::g]",
            "https://a b",
            "file:///a",
            "ht tp://a.example",
        ] {
            assert_eq!(Origin::browser_form(other), None, "{other}");
        }
    }
}
