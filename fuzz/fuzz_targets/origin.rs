//! Compares the cross-site check with a second implementation of the rule.
//!
//! The input is one line for each part of the request: a digit that selects the part, then its
//! value.
#![no_main]

use std::{
    net::{Ipv4Addr, SocketAddrV6},
    sync::LazyLock,
};

use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header, request::Parts};
use libfuzzer_sys::fuzz_target;
use tower_auth::{Authenticator, BasicAuth, RejectionKind, basic::Users, transport::Forwarded};

const TRUSTED: &str = "https://admin.test";
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const NAMES: [HeaderName; 7] = [
    header::ORIGIN,
    SITE,
    header::HOST,
    header::UPGRADE,
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-method-override"),
];

static STAFF: LazyLock<[BasicAuth<Users>; 2]> = LazyLock::new(|| {
    [Forwarded::direct(), Forwarded::direct().tls()].map(|forwarded| {
        let users = Users::new([("a", "b")]).unwrap();
        let staff = BasicAuth::new("staff", users).unwrap();
        staff.trusted_origin(TRUSTED).unwrap().forwarded(forwarded)
    })
});

/// Returns the host in lower case, and the port that a client uses.
fn parts(authority: &str, scheme: &str) -> Option<(String, String)> {
    let default = match scheme {
        "http" => "80",
        "https" => "443",
        _ => "",
    };
    let (host, port) = match authority.rfind(':') {
        Some(colon) if !authority.ends_with(']') => (&authority[..colon], &authority[colon + 1..]),
        _ => return Some((authority.to_ascii_lowercase(), default.to_owned())),
    };
    let number: u16 = port.parse().ok()?;
    (number != 0 && number.to_string() == port)
        .then(|| (host.to_ascii_lowercase(), port.to_owned()))
}

fn is_host(host: &str) -> bool {
    if host.starts_with('[') {
        return !host.contains('%') && format!("{host}:1").parse::<SocketAddrV6>().is_ok();
    }
    let labels: Vec<_> = host.strip_suffix('.').unwrap_or(host).split('.').collect();
    let is_label = |label: &&str| {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !label.is_empty() && label.len() <= 63 && label.chars().all(is_allowed)
    };
    let is_number = labels.last().is_some_and(|label| label.chars().all(|c| c.is_ascii_digit()));
    labels.iter().all(is_label)
        && labels.join(".").len() <= 253
        && (!is_number || labels.join(".").parse::<Ipv4Addr>().is_ok())
}

fn is_own(origin: &str, scheme: &str, host: &str) -> bool {
    let Some(authority) = origin.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://"))
    else {
        return false;
    };
    let sent = parts(authority, scheme);
    sent.as_ref().is_some_and(|(host, _)| is_host(host)) && sent == parts(host, scheme)
}

/// The values of a header, as text if they are text.
fn lines(headers: &HeaderMap, name: HeaderName) -> Vec<&str> {
    let lines = headers.get_all(name).iter();
    lines.map(|line| str::from_utf8(line.as_bytes()).unwrap_or("\u{fffd}")).collect()
}

fn model(head: &Parts, is_https: bool) -> Option<RejectionKind> {
    let hosts = lines(&head.headers, header::HOST);
    let authority = head.uri.authority().map(|authority| authority.as_str());
    if hosts.len() > 1 {
        return Some(RejectionKind::MalformedRequest);
    }
    if let ([host], Some(authority)) = (hosts.as_slice(), authority) {
        let scheme = head.uri.scheme_str().unwrap_or_default();
        let (host_parts, target) = (parts(host, scheme), parts(authority, scheme));
        let is_ascii = host.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte));
        if *host != authority && (!is_ascii || host_parts.is_none() || host_parts != target) {
            return Some(RejectionKind::MalformedRequest);
        }
    }
    let upgrades = lines(&head.headers, header::UPGRADE).join(",").to_ascii_lowercase();
    let trim = |protocol: &str| protocol.trim_matches([' ', '\t']).to_owned();
    let mut protocols = upgrades.split(',').map(trim);
    let is_upgrade = head.method == Method::CONNECT
        || protocols.any(|protocol| {
            let is_tls = protocol
                .strip_prefix("tls/")
                .is_some_and(|version| version.chars().all(|c| c.is_ascii_digit() || c == '.'));
            !protocol.is_empty() && protocol != "h2c" && !is_tls
        });
    let is_read = ["GET", "HEAD", "OPTIONS", "TRACE"].contains(&head.method.as_str());
    let has_override = NAMES[4..].iter().any(|name| head.headers.contains_key(name));
    if is_read && !is_upgrade && !has_override {
        return None;
    }
    let scheme = if is_https { "https" } else { "http" };
    let host = authority.or(hosts.first().copied()).filter(|host| host.is_ascii());
    let (origins, sites) = (lines(&head.headers, header::ORIGIN), lines(&head.headers, SITE));
    let passes = match (origins.as_slice(), sites.as_slice()) {
        ([_, _, ..], _) | (_, [_, _, ..]) => false,
        ([origin], _) if *origin == TRUSTED => true,
        (_, ["same-origin" | "none"]) => true,
        (_, [_]) => false,
        ([origin], []) => host.is_some_and(|host| is_own(origin, scheme, host)),
        ([], []) => !is_upgrade,
    };
    (!passes).then_some(RejectionKind::CrossSite)
}

fuzz_target!(|input: &[u8]| {
    let mut head = Request::new(()).into_parts().0;
    head.headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Basic YTpi"));
    for line in input.split(|byte| *byte == b'\n').take(16) {
        let [selector, value @ ..] = line else { continue };
        match selector {
            b'8' => head.method = Method::from_bytes(value).unwrap_or(Method::POST),
            b'9' => head.uri = Uri::try_from(value).unwrap_or_default(),
            b'1'..=b'7' => {
                let Ok(value) = HeaderValue::from_bytes(value) else { continue };
                head.headers.append(&NAMES[usize::from(*selector - b'1')], value);
            }
            _ => {}
        }
    }
    for (is_https, staff) in [false, true].into_iter().zip(&*STAFF) {
        let result = staff.authenticate(&head).unwrap().now_or_never().unwrap().into_result();
        let kind = result.err().map(|rejection| rejection.kind());
        assert_eq!(kind, model(&head, is_https), "{head:?}, https: {is_https}");
    }
});
