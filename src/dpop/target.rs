//! The URL of a request, and the `htu` of a proof.

use std::net::Ipv6Addr;

use http::{Uri, request::Parts};

use super::error::ProofError;
use crate::{
    credentials::accepted_hosts::AcceptedHosts,
    origin::default_port,
    transport::{connection_info::ConnectionInfo, forwarded::Forwarded},
    url::is_possible_host,
};

/// A URL without query and fragment, in normal form (RFC 3986 §6.2.2, §6.2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// `http` or `https`.
    scheme: &'static str,
    /// In lower case. IPv6 addresses have brackets.
    host: String,
    /// Never the default port of the scheme.
    port: Option<u16>,
    path: String,
}

impl Target {
    /// Parses an absolute URL. Its query and its fragment are ignored (RFC 9449 §4.3).
    pub(crate) fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let scheme = ["https", "http"].into_iter().find(|it| it.eq_ignore_ascii_case(scheme))?;
        let rest = rest.split(['?', '#']).next()?;
        let (authority, path) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len()))?;
        // White space and backslashes have other meanings in browsers.
        let is_url_byte = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
        path.bytes().all(is_url_byte).then(|| Self::new(scheme, authority, path))?
    }

    /// Returns the URL with which a client has sent a request, if its host is known and accepted.
    pub(super) fn of_request(
        forwarded: &Forwarded,
        hosts: &AcceptedHosts,
        prefix: &str,
        head: &Parts,
    ) -> Result<Self, ProofError> {
        let info: ConnectionInfo<'_> = forwarded.info(head);
        let host = info.host().ok_or(ProofError::UnknownHost)?;
        if !hosts.contain(&info) {
            return Err(ProofError::OtherHost);
        }
        let path = original_uri(head).path();
        let url = match prefix.is_empty() {
            true => Self::new(info.scheme_str(), host, path),
            false => Self::new(info.scheme_str(), host, &format!("{prefix}{path}")),
        };
        url.ok_or(ProofError::UnknownHost)
    }

    fn new(scheme: &'static str, authority: &str, path: &str) -> Option<Self> {
        let (host, port) = match authority.rsplit_once(':') {
            Some(parts) if !authority.ends_with(']') => parts,
            _ => (authority, ""),
        };
        if !is_possible_host(host) || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let port = match port.is_empty() {
            true => None,
            false => Some(port.parse::<u16>().ok().filter(|port| *port != 0)?),
        };
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => format!("[{}]", address.parse::<Ipv6Addr>().ok()?),
            None => host.to_ascii_lowercase(),
        };
        let port = port.filter(|port| default_port(scheme) != Some(*port));
        Some(Self { scheme, host, port, path: normalize_path(path)? })
    }

    /// Checks that this is also the URL of a request.
    pub(super) fn check_is(&self, request: &Self) -> Result<(), ProofError> {
        if self.scheme != request.scheme {
            return Err(ProofError::UrlScheme);
        }
        if self.host != request.host || self.port != request.port {
            return Err(ProofError::UrlHost);
        }
        if self.path == request.path { Ok(()) } else { Err(ProofError::UrlPath) }
    }

    /// Returns the URL in normal form.
    pub(crate) fn to_url(&self) -> String {
        let Self { scheme, host, port, path } = self;
        match port {
            Some(port) => format!("{scheme}://{host}:{port}{path}"),
            None => format!("{scheme}://{host}{path}"),
        }
    }
}

/// Returns the target of the request before a nested router of axum has removed a prefix.
fn original_uri(head: &Parts) -> &Uri {
    #[cfg(feature = "axum")]
    if let Some(original) = head.extensions.get::<axum::extract::OriginalUri>() {
        return &original.0;
    }
    &head.uri
}

/// Returns a path with normal encoding and without dot segments (RFC 3986 §6.2.2), or `None` if it
/// does not start with a slash.
///
/// A percent sign that does not start an encoded octet is kept.
fn normalize_path(path: &str) -> Option<String> {
    if path.is_empty() {
        return Some("/".into());
    }
    if !path.starts_with('/') {
        return None;
    }
    let is_normal = |byte: u8| byte.is_ascii_graphic() && byte != b'%';
    if path.bytes().all(is_normal) && !path.contains("/.") {
        return Some(path.into());
    }
    Some(remove_dot_segments(&normalize_encoding(path)))
}

/// Decodes unreserved characters, writes other encoded octets in upper case, and encodes what is
/// not ASCII.
fn normalize_encoding(path: &str) -> String {
    let mut normal = String::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [byte, tail @ ..] = rest {
        let octet = match (byte, tail) {
            (b'%', [high, low, ..]) => decode_octet(*high, *low),
            _ => None,
        };
        rest = if octet.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
        match octet {
            Some(octet) if is_unreserved(octet) => normal.push(char::from(octet)),
            None if byte.is_ascii_graphic() => normal.push(char::from(*byte)),
            octet => normal.push_str(&format!("%{:02X}", octet.unwrap_or(*byte))),
        }
    }
    normal
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn decode_octet(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

/// Removes `.` and `..` (RFC 3986 §5.2.4) from a path that starts with a slash.
fn remove_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                // The path then ends with a slash.
                if segments.peek().is_none() {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Option<String> {
        Target::parse(text).map(|target| target.to_url())
    }

    #[test]
    fn normal_form_of_a_url() {
        for (text, normal) in [
            ("https://a.example", "https://a.example/"),
            ("HTTPS://A.Example:443/B?c#d", "https://a.example/B"),
            ("http://a.example:80", "http://a.example/"),
            ("http://a.example:443", "http://a.example:443/"),
            ("https://[::FFFF:1.2.3.4]:8443/", "https://[::ffff:1.2.3.4]:8443/"),
            ("https://a.example/%7e%2f%c3", "https://a.example/~%2F%C3"),
            ("https://a.example/a%", "https://a.example/a%"),
            ("https://a.example/a%4", "https://a.example/a%4"),
            ("https://a.example/%%41", "https://a.example/%A"),
            // The examples of RFC 3986 §5.2.4.
            ("https://a.example/a/b/c/./../../g", "https://a.example/a/g"),
            ("https://a.example/mid/content=5/../6", "https://a.example/mid/6"),
        ] {
            assert_eq!(url(text).as_deref(), Some(normal), "{text}");
        }
    }

    /// The examples of RFC 3986 §5.4, in absolute form.
    #[test]
    fn dot_segments_are_removed_as_in_rfc_3986() {
        for (path, normal) in [
            ("/.", "/"),
            ("/..", "/"),
            ("/./", "/"),
            ("/../", "/"),
            ("/b/c/.", "/b/c/"),
            ("/b/c/./", "/b/c/"),
            ("/b/c/..", "/b/"),
            ("/b/c/../", "/b/"),
            ("/b/c/../g", "/b/g"),
            ("/b/c/../..", "/"),
            ("/b/c/../../../../g", "/g"),
            ("/./g", "/g"),
            ("/../g", "/g"),
            ("/b/c/g.", "/b/c/g."),
            ("/b/c/.g", "/b/c/.g"),
            ("/b/c/g..", "/b/c/g.."),
            ("/b/c/..g", "/b/c/..g"),
            ("/b/c/./../g", "/b/g"),
            ("/b/c/./g/.", "/b/c/g/"),
            ("/b/c/g;x=1/../y", "/b/c/y"),
            ("//..//b", "//b"),
            ("/b//../c", "/b/c"),
        ] {
            assert_eq!(normalize_path(path).as_deref(), Some(normal), "{path}");
            // A path in normal form does not change.
            assert_eq!(normalize_path(normal).as_deref(), Some(normal), "{path}");
        }
        assert_eq!(normalize_path("*"), None);
        assert_eq!(normalize_path("b"), None);
    }
}
