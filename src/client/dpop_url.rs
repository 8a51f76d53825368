use http::Uri;

use crate::origin::Origin;

/// The origin and the `htu` of a request (RFC 9449 §4.2).
pub(super) struct ProofUrl {
    pub(super) origin: String,
    pub(super) htu: String,
}

impl ProofUrl {
    /// The path is the one that is sent, without normalization, for servers that compare it byte
    /// by byte. Returns `None` if the URL has no scheme and no host, and there is no `fallback`.
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
            let target = ProofUrl::of(&uri.parse().unwrap(), None).unwrap();
            assert_eq!((&*target.origin, &*target.htu), (origin, htu), "{uri}");
        }
        let api = Origin::parse("https://api.example:8443").unwrap();
        let target = ProofUrl::of(&"/a.B/C".parse().unwrap(), Some(&api)).unwrap();
        assert_eq!(target.htu, "https://api.example:8443/a.B/C");
        for (uri, fallback) in [("/a.B/C", None), ("*", Some(&api)), ("api.example:80", Some(&api))]
        {
            assert!(ProofUrl::of(&uri.parse().unwrap(), fallback).is_none(), "{uri}");
        }
    }
}
