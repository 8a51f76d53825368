//! Addresses as proxies write them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One end of a connection, as a proxy reports it (RFC 7239 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Address(IpAddr),
    /// `unknown`, or an identifier such as `_secret`.
    Unnamed,
}

impl Node {
    /// Parses a node of RFC 7239: IPv6 addresses have brackets.
    pub(crate) fn parse(node: &[u8]) -> Option<Self> {
        let node = str::from_utf8(node).ok()?;
        if let Some(address) = bracketed(node) {
            return Some(Self::Address(address.into()));
        }
        let (name, port) = node.split_once(':').unwrap_or((node, "0"));
        if !is_port(port) {
            return None;
        }
        if name.eq_ignore_ascii_case("unknown") || is_obfuscated(name) {
            return Some(Self::Unnamed);
        }
        name.parse::<Ipv4Addr>().ok().map(|address| Self::Address(address.into()))
    }
}

/// Parses an entry of `X-Forwarded-For`: an address, which may have a port, brackets or a zone. The
/// result is canonical.
pub(crate) fn address_of_entry(entry: &[u8]) -> Option<IpAddr> {
    let bare = str::from_utf8(entry).ok().and_then(ipv6);
    match bare.map_or_else(|| Node::parse(entry), |v6| Some(Node::Address(v6.into())))? {
        Node::Address(address) => Some(address.to_canonical()),
        Node::Unnamed => None,
    }
}

/// Parses an IPv6 address in brackets, which can have a port.
fn bracketed(node: &str) -> Option<Ipv6Addr> {
    let (address, port) = node.strip_prefix('[')?.split_once(']')?;
    let is_valid = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    ipv6(address).filter(|_| is_valid)
}

/// Parses an IPv6 address, and drops the zone: it has a meaning only on the proxy.
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    let (address, zone) = text.split_once('%').unwrap_or((text, "0"));
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
    let is_zone = !zone.is_empty() && zone.bytes().all(is_allowed);
    address.parse().ok().filter(|_| is_zone)
}

fn is_port(port: &str) -> bool {
    let is_number = (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    is_number || is_obfuscated(port)
}

fn is_obfuscated(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text.strip_prefix('_').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_with_port_brackets_or_zone_is_an_address() {
        for (entry, address) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:80", "192.0.2.1"),
            ("192.0.2.1:65535", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("2001:DB8:0:0::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%25eth0]:80", "fe80::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("[::ffff:c000:201]:80", "192.0.2.1"),
        ] {
            assert_eq!(address_of_entry(entry.as_bytes()), address.parse().ok(), "{entry}");
        }
    }

    #[test]
    fn entry_that_is_no_address_is_unreadable() {
        for entry in [
            "",
            " ",
            "unknown",
            "_hidden",
            "localhost",
            "proxy.example",
            "192.0.2",
            "192.0.2.256",
            "192.0.2.01",
            "0x7f.0.0.1",
            "192.0.2.1:",
            "192.0.2.1:x",
            "192.0.2.1:-1",
            "192.0.2.1:123456",
            "192.0.2.1:+80",
            "192.0.2.1:80:80",
            "192.0.2.1 ",
            "192.0.2.1%eth0",
            "192.0.2.1/32",
            "[192.0.2.1]",
            "[::1",
            "::1]",
            "[]",
            "[::1]80",
            "[::1]:",
            "[[::1]]",
            "fe80::1%",
            "fe80::1%\u{e9}",
            "fe80::1%a b",
            "%eth0",
            "2001:db8::1::1",
            "::g",
            "\"192.0.2.1\"",
            "unix:",
            "1",
            "2130706433",
        ] {
            assert_eq!(address_of_entry(entry.as_bytes()), None, "{entry}");
        }
        assert_eq!(address_of_entry(b"192.0.2.1\xff"), None);
        assert_eq!(address_of_entry(&[b'1'; 10_000]), None);
    }

    #[test]
    fn node_of_rfc_7239_has_brackets_around_ipv6_or_no_name() {
        let address = |text: &str| Some(Node::Address(text.parse().unwrap()));
        for (node, parsed) in [
            ("192.0.2.43", address("192.0.2.43")),
            ("192.0.2.43:47011", address("192.0.2.43")),
            ("192.0.2.43:_port", address("192.0.2.43")),
            ("[2001:db8:cafe::17]:4711", address("2001:db8:cafe::17")),
            ("[2001:db8:cafe::17]", address("2001:db8:cafe::17")),
            ("unknown", Some(Node::Unnamed)),
            ("Unknown:80", Some(Node::Unnamed)),
            ("_SEVKISEK", Some(Node::Unnamed)),
            ("_hidden.a-b_c:_p", Some(Node::Unnamed)),
            ("2001:db8:cafe::17", None),
            ("unknowns", None),
            ("_", None),
            ("_a b", None),
            ("_a:", None),
            ("hidden", None),
            ("", None),
        ] {
            assert_eq!(Node::parse(node.as_bytes()), parsed, "{node}");
        }
    }
}
