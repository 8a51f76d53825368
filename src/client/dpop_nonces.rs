//! The nonces of servers, for DPoP proofs (RFC 9449 §8, §9).

use std::sync::Arc;

use http::{HeaderMap, HeaderName, Uri};
use quick_cache::sync::Cache;

use crate::origin::Origin;

pub(super) const DPOP: HeaderName = HeaderName::from_static("dpop");
const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// The longest nonce that is sent back.
const MAX_NONCE: usize = 512;

/// The number of origins whose nonce is kept.
const MAX_ORIGINS: usize = 256;

/// The most recent nonce of each origin.
pub(super) struct Nonces(Cache<Box<str>, Arc<str>>);

impl Nonces {
    pub(super) fn new() -> Self {
        Self(Cache::new(MAX_ORIGINS))
    }

    pub(super) fn get(&self, origin: &str) -> Option<Arc<str>> {
        self.0.get(origin)
    }

    /// Keeps the nonce of a response, and returns it.
    pub(super) fn keep(&self, origin: &str, headers: &HeaderMap) -> Option<Arc<str>> {
        let new = nonce(headers)?;
        // Mostly, it has not changed.
        if self.0.get(origin).is_none_or(|old| *old != *new) {
            self.0.insert(origin.into(), Arc::clone(&new));
        }
        Some(new)
    }
}

/// Returns the nonce of a response, if there is exactly one (RFC 9449 §8.1).
pub(super) fn nonce(headers: &HeaderMap) -> Option<Arc<str>> {
    let mut values = headers.get_all(DPOP_NONCE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let nonce = value.to_str().ok()?;
    let is_nonce_byte = |byte| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~');
    ((1..=MAX_NONCE).contains(&nonce.len()) && nonce.bytes().all(is_nonce_byte))
        .then(|| nonce.into())
}

/// The origin and the `htu` of a request (RFC 9449 §4.2).
pub(super) struct Target {
    pub(super) origin: String,
    pub(super) htu: String,
}

impl Target {
    /// Returns `None` if the URL has no scheme and no host, and there is no `fallback`.
    pub(super) fn of(uri: &Uri, fallback: Option<&Origin<'_>>) -> Option<Self> {
        let origin = match uri.host() {
            Some(_) => Origin::of(uri)?.to_string(),
            None => fallback?.to_string(),
        };
        let mut origin = origin.to_ascii_lowercase();
        // The handshake of a WebSocket is an HTTP request.
        if origin.starts_with("ws") {
            origin.replace_range(..2, "http");
        }
        let path = if uri.path().is_empty() { "/" } else { uri.path() };
        let htu = path.starts_with('/').then(|| format!("{origin}{path}"))?;
        Some(Self { origin, htu })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn htu_has_no_query_no_user_information_and_no_default_port() {
        for (uri, origin, htu) in [
            ("https://api.example", "https://api.example", "https://api.example/"),
            ("https://API.example:443/a/B?q=1", "https://api.example", "https://api.example/a/B"),
            ("HTTPS://u:p@api.example/", "https://api.example", "https://api.example/"),
            ("http://[::1]:8080/a%2fb", "http://[::1]:8080", "http://[::1]:8080/a%2fb"),
            ("wss://api.example/chat", "https://api.example", "https://api.example/chat"),
            ("ws://localhost:80/", "http://localhost", "http://localhost/"),
        ] {
            let target = Target::of(&uri.parse().unwrap(), None).unwrap();
            assert_eq!((&*target.origin, &*target.htu), (origin, htu), "{uri}");
        }
        let api = Origin::parse("https://api.example:8443").unwrap();
        let target = Target::of(&"/a.B/C".parse().unwrap(), Some(&api)).unwrap();
        assert_eq!(target.htu, "https://api.example:8443/a.B/C");
        for (uri, fallback) in [("/a.B/C", None), ("*", Some(&api)), ("api.example:80", Some(&api))]
        {
            assert!(Target::of(&uri.parse().unwrap(), fallback).is_none(), "{uri}");
        }
    }

    #[test]
    fn only_a_single_well_formed_nonce_is_kept() {
        let nonces = Nonces::new();
        let long = "n".repeat(MAX_NONCE + 1);
        let longest = "n".repeat(MAX_NONCE);
        for (lines, expected) in [
            (&["eyJ7S_zG.eyJH0-Z.HX4w-7v"][..], Some("eyJ7S_zG.eyJH0-Z.HX4w-7v")),
            (&["a", "b"], None),
            (&["a", "a"], None),
            (&[""], None),
            (&["a b"], None),
            (&["a\"b"], None),
            (&["a\\b"], None),
            (&[&long], None),
            (&[&longest], Some(&longest)),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(DPOP_NONCE, line.parse().unwrap());
            }
            assert_eq!(nonces.keep("https://a.example", &headers).as_deref(), expected);
            assert_eq!(nonces.get("https://b.example"), None);
        }
        assert_eq!(nonces.get("https://a.example").as_deref(), Some(&*longest));
    }

    #[test]
    fn number_of_origins_is_bounded() {
        let nonces = Nonces::new();
        let mut headers = HeaderMap::new();
        headers.insert(DPOP_NONCE, "n".parse().unwrap());
        for number in 0..4 * MAX_ORIGINS {
            nonces.keep(&format!("https://{number}.example"), &headers);
        }
        assert!(nonces.0.len() <= MAX_ORIGINS, "{}", nonces.0.len());
    }
}
