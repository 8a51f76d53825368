//! The header `Forwarded` (RFC 7239).

use std::borrow::Cow;

use http::{HeaderMap, header::FORWARDED};

use super::{
    connection_info::{ConnectionInfo, is_tls_scheme},
    host::parse_host,
    networks::{MAX_PROXIES, Networks},
    node::Node,
};
use crate::header::grammar::is_token_byte;

/// Returns what the trusted proxies report. The last one has sent the request.
pub(crate) fn reported<'h>(headers: &'h HeaderMap, proxies: &Networks) -> ConnectionInfo<'h> {
    let mut reported = ConnectionInfo::UNKNOWN;
    for (position, element) in elements_from_the_right(headers).enumerate() {
        let Some(element) = parse_element(element) else { return ConnectionInfo::UNKNOWN };
        reported = element;
        if !reported.client_address.is_some_and(|address| proxies.contains(address)) {
            break;
        }
        if position + 1 == MAX_PROXIES {
            return ConnectionInfo::UNKNOWN;
        }
    }
    reported
}

/// Returns the elements of all lines, the last one first.
///
/// They are found from the right, so that nothing that a client has sent, such as a quote without
/// its counterpart, changes where the elements that proxies appended begin and end.
fn elements_from_the_right(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(FORWARDED).iter().rev();
    lines.flat_map(|line| {
        let mut rest = Some(line.as_bytes());
        std::iter::from_fn(move || {
            let (before, element) = split_last_element(rest?);
            rest = before;
            Some(element.trim_ascii())
        })
    })
}

/// Returns what is to the left of the last comma outside of quotes, and what is to its right.
fn split_last_element(line: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let mut is_quoted = false;
    let mut before = line;
    while let [rest @ .., byte] = before {
        match byte {
            b',' if !is_quoted => {
                return (Some(rest), line.get(before.len()..).unwrap_or_default());
            }
            // Within quotes, a quote after an odd number of backslashes is escaped.
            b'"' => is_quoted = !is_quoted || is_escaped(rest),
            _ => {}
        }
        before = rest;
    }
    (None, line)
}

/// Returns whether the byte after this text is escaped.
fn is_escaped(before: &[u8]) -> bool {
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// Parses the element of one proxy. Returns `None` if its syntax is invalid, or a parameter is
/// repeated.
fn parse_element(element: &[u8]) -> Option<ConnectionInfo<'_>> {
    if element.is_empty() {
        return None;
    }
    let (mut sender, mut proto, mut host, mut by) = (None, None, None, None);
    let mut rest = element;
    loop {
        rest = rest.trim_ascii_start();
        if !matches!(rest, [] | [b';', ..]) {
            let (name, value, after) = split_pair(rest)?;
            rest = after.trim_ascii_start();
            let parameter = match name {
                name if name.eq_ignore_ascii_case(b"for") => Some(&mut sender),
                name if name.eq_ignore_ascii_case(b"proto") => Some(&mut proto),
                name if name.eq_ignore_ascii_case(b"host") => Some(&mut host),
                name if name.eq_ignore_ascii_case(b"by") => Some(&mut by),
                _ => None,
            };
            if parameter.is_some_and(|parameter| parameter.replace(value).is_some()) {
                return None;
            }
        }
        match rest {
            [] => break,
            [b';', after @ ..] => rest = after,
            _ => return None,
        }
    }
    let client_address = match sender.map(unescape) {
        Some(node) => match Node::parse(&node)? {
            Node::Address(address) => Some(address.to_canonical()),
            Node::Unnamed => None,
        },
        None => None,
    };
    let is_https = proto.is_some_and(|proto| is_tls_scheme(&unescape(proto)));
    // No host needs an escape, so one with a backslash is not a host.
    Some(ConnectionInfo { client_address, is_https, host: host.and_then(parse_host) })
}

/// Splits `name=value` off, and returns the value without its quotes, but with its escapes.
fn split_pair(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (name, rest) = split_token(text)?;
    match rest.strip_prefix(b"=")? {
        [b'"', quoted @ ..] => {
            let (value, after) = split_quoted(quoted)?;
            Some((name, value, after))
        }
        rest => {
            let (value, after) = split_token(rest)?;
            Some((name, value, after))
        }
    }
}

fn split_token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = text.iter().take_while(|byte| is_token_byte(**byte)).count();
    text.split_at_checked(length).filter(|(token, _)| !token.is_empty())
}

/// Splits a quoted string after its first quote.
fn split_quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut is_after_backslash = false;
    let end = text.iter().position(|byte| match byte {
        b'"' if !is_after_backslash => true,
        byte => {
            is_after_backslash = *byte == b'\\' && !is_after_backslash;
            false
        }
    })?;
    let (value, quote) = text.split_at_checked(end)?;
    Some((value, quote.strip_prefix(b"\"")?))
}

fn unescape(value: &[u8]) -> Cow<'_, [u8]> {
    if !value.contains(&b'\\') {
        return Cow::Borrowed(value);
    }
    let mut bytes = value.iter();
    let next = || match bytes.next()? {
        b'\\' => bytes.next(),
        byte => Some(byte),
    };
    Cow::Owned(std::iter::from_fn(next).copied().collect())
}
