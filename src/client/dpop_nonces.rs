//! The nonces of servers, for DPoP proofs (RFC 9449 §8, §9).

use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use quick_cache::sync::Cache;

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

#[cfg(test)]
mod tests {
    use super::*;

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
