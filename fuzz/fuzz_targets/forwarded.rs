//! Reads the headers of proxies and compares the result with a model, which parses whole headers
//! into entries first, one step after the other.
//!
//! The input is one line for each header: a digit that selects its name, then its value.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::{HeaderName, HeaderValue, Request};
use libfuzzer_sys::fuzz_target;
use tower_auth::transport::Forwarded;

const NAMES: [&str; 4] = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"];

/// The client address, whether the scheme is https, and the host.
type Info = (Option<IpAddr>, bool, Option<String>);

fn is_proxy(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets()[0] == 10,
        IpAddr::V6(v6) => v6 == Ipv6Addr::LOCALHOST,
    }
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

fn is_port(text: &str) -> bool {
    let digits = text.chars().all(|c| c.is_ascii_digit());
    (digits && !text.is_empty() && text.len() < 6) || is_identifier(text)
}

fn is_identifier(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    text.len() > 1 && text.starts_with('_') && text.chars().all(is_allowed)
}

fn ipv6(text: &str) -> Option<IpAddr> {
    let mut address = text;
    if let Some(start) = text.find('%') {
        let zone = &text[start + 1..];
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-._~%".contains(c);
        if zone.is_empty() || !zone.chars().all(is_allowed) {
            return None;
        }
        address = &text[..start];
    }
    let address: Ipv6Addr = address.parse().ok()?;
    let mapped = address.segments()[..6] == [0, 0, 0, 0, 0, 0xffff];
    let [.., a, b, c, d] = address.octets();
    Some(if mapped { Ipv4Addr::new(a, b, c, d).into() } else { address.into() })
}

/// `Some(None)` is a node without an address.
fn node(text: &str) -> Option<Option<IpAddr>> {
    let (name, port) = match text.rfind(':') {
        // A colon in brackets is not that of a port.
        Some(colon) if !text.ends_with(']') => (&text[..colon], Some(&text[colon + 1..])),
        _ => (text, None),
    };
    if port.is_some_and(|port| !is_port(port)) {
        return None;
    }
    if name.starts_with('[') && name.ends_with(']') && name.len() > 1 {
        return ipv6(&name[1..name.len() - 1]).map(Some);
    }
    if name.eq_ignore_ascii_case("unknown") || is_identifier(name) {
        return Some(None);
    }
    Some(Some(name.parse::<Ipv4Addr>().ok()?.into()))
}

fn host(text: &str) -> Option<String> {
    let (name, port) = match text.rfind(':') {
        Some(colon) if !text.ends_with(']') => (&text[..colon], &text[colon + 1..]),
        _ => (text, ""),
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._~%!$&'()*+,;=".contains(c);
    let is_address = |c: char| c.is_ascii_hexdigit() || ":.".contains(c);
    let inside = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let is_host = match inside {
        Some(address) => !address.is_empty() && address.chars().all(is_address),
        None => !name.is_empty() && name.chars().all(is_name),
    };
    let is_port = port.chars().all(|c| c.is_ascii_digit());
    (is_host && is_port).then(|| text.to_owned())
}

fn is_tls(scheme: &str) -> bool {
    ["https", "wss"].contains(&scheme.to_ascii_lowercase().as_str())
}

/// All entries of the lines, the last one first. Bytes outside of ASCII are kept, as Latin-1.
fn entries(lines: &[String]) -> Vec<&str> {
    let mut all: Vec<_> = lines.iter().flat_map(|line| line.split(',')).map(trim).collect();
    all.reverse();
    all
}

/// Returns the hop that counts: the first that is not a proxy, or the last of all.
fn end_of_walk<T>(hops: &[T], is_trusted: impl Fn(&T) -> bool) -> Option<usize> {
    let end = hops.iter().position(|hop| !is_trusted(hop));
    let end = end.unwrap_or(hops.len().saturating_sub(1));
    let passes_too_many = hops.len() >= 32 && hops[..32].iter().all(is_trusted);
    (!passes_too_many).then_some(end)
}

fn x_forwarded(addresses: &[String], schemes: &[String], hosts: &[String]) -> Info {
    let hops: Vec<Option<IpAddr>> = entries(addresses)
        .iter()
        .map(|entry| ipv6(entry).or_else(|| node(entry).flatten()))
        .collect();
    let unknown = (None, false, None);
    let Some(end) = end_of_walk(&hops, |hop| hop.is_some_and(is_proxy)) else { return unknown };
    if !hops.is_empty() && hops[end].is_none() {
        return unknown;
    }
    let of_first_proxy = |lines| {
        let entries = entries(lines);
        match entries.len() {
            0 => None,
            1 => Some(entries[0].to_owned()),
            _ => entries.get(end).map(|entry| (*entry).to_owned()),
        }
    };
    let is_https = of_first_proxy(schemes).is_some_and(|scheme| is_tls(&scheme));
    let address = hops.get(end).copied().flatten();
    (address, is_https, of_first_proxy(hosts).and_then(|text| host(&text)))
}

/// The states of a parser that reads a line backwards, and yields elements from the right.
fn elements(lines: &[String]) -> Vec<String> {
    let mut elements = Vec::new();
    for line in lines.iter().rev() {
        let chars: Vec<char> = line.chars().collect();
        let (mut end, mut closing) = (chars.len(), None);
        for index in (0..chars.len()).rev() {
            let escapes = chars[..index].iter().rev().take_while(|c| **c == '\\').count();
            match (chars[index], closing) {
                ('"', None) => closing = Some(index),
                ('"', Some(_)) if escapes % 2 == 0 => closing = None,
                (',', None) => {
                    elements.push(chars[index + 1..end].iter().collect());
                    end = index;
                }
                _ => {}
            }
        }
        elements.push(chars[..end].iter().collect());
    }
    elements
}

/// Splits an element into pairs with a table of states, and checks them afterwards.
fn element(text: &str) -> Option<Info> {
    let text = trim(text);
    if text.is_empty() {
        return None;
    }
    let mut pairs = vec![String::new()];
    let (mut is_quoted, mut is_escaped) = (false, false);
    for c in text.chars() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ';' if !is_quoted => {
                pairs.push(String::new());
                continue;
            }
            _ => {}
        }
        pairs.last_mut().unwrap().push(c);
    }
    if is_quoted {
        return None;
    }
    let is_token = |text: &str| {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        !text.is_empty() && text.chars().all(is_allowed)
    };
    let (mut found, mut raw_host) = (std::collections::BTreeMap::new(), None);
    for pair in pairs.iter().map(|pair| trim(pair)).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=')?;
        if !is_token(name) {
            return None;
        }
        let quoted = value.strip_prefix('"');
        let value = match quoted {
            Some(quoted) => {
                let inside = quoted.strip_suffix('"')?;
                let mut chars = inside.chars();
                let mut text = String::new();
                while let Some(c) = chars.next() {
                    match c {
                        // The string ended before.
                        '"' => return None,
                        '\\' => text.push(chars.next()?),
                        c => text.push(c),
                    }
                }
                if name.eq_ignore_ascii_case("host") {
                    raw_host = Some(inside.to_owned());
                }
                text
            }
            None if is_token(value) => value.to_owned(),
            None => return None,
        };
        let name = name.to_ascii_lowercase();
        let is_read = ["for", "proto", "host", "by"].contains(&name.as_str());
        if found.insert(name, value).is_some() && is_read {
            return None;
        }
    }
    let address = match found.get("for") {
        Some(text) => node(text)?,
        None => None,
    };
    let is_https = found.get("proto").is_some_and(|scheme| is_tls(scheme));
    // A host with an escape is not read.
    let host_text = raw_host.or_else(|| found.get("host").cloned());
    Some((address, is_https, host_text.and_then(|text| host(&text))))
}

fn rfc7239(lines: &[String]) -> Info {
    let hops: Vec<Option<Info>> = elements(lines).iter().map(|text| element(text)).collect();
    let is_trusted = |hop: &Option<Info>| {
        hop.as_ref().is_some_and(|(address, ..)| address.is_some_and(is_proxy))
    };
    let end = end_of_walk(&hops, is_trusted);
    end.and_then(|end| hops.get(end).cloned().flatten()).unwrap_or((None, false, None))
}

fuzz_target!(|input: &[u8]| {
    let mut head = Request::new(()).into_parts().0;
    let mut lines: [Vec<String>; 4] = Default::default();
    for line in input.split(|byte| *byte == b'\n').take(16) {
        let [selector, value @ ..] = line else { continue };
        let Ok(value) = HeaderValue::from_bytes(value) else { continue };
        let index = usize::from(*selector) % NAMES.len();
        lines[index].push(value.as_bytes().iter().map(|byte| char::from(*byte)).collect());
        head.headers.append(HeaderName::from_static(NAMES[index]), value);
    }
    let proxied = Forwarded::from_proxies(["10.0.0.0/8", "::1"]).unwrap().forwarded_host();
    let proxied = proxied.peer(|_| Some(Ipv6Addr::LOCALHOST.into()));
    let info_of = |forwarded: &Forwarded| {
        let info = forwarded.info(&head);
        (info.client_address(), info.is_https(), info.host().map(str::to_owned))
    };
    let [addresses, schemes, hosts, forwarded] = &lines;
    assert_eq!(info_of(&proxied), x_forwarded(addresses, schemes, hosts));
    assert_eq!(info_of(&proxied.clone().rfc7239()), rfc7239(forwarded));

    // Without a trusted peer, no header has an effect.
    for peer in [None, Some(IpAddr::from([192, 0, 2, 7]))] {
        for direct in [proxied.clone(), proxied.clone().rfc7239()] {
            assert_eq!(info_of(&direct.peer(move |_| peer)), (peer, false, None));
        }
    }
});
