//! The rules for URLs and paths, in one place.

#[cfg(any(feature = "client", feature = "jwt"))]
use std::net::IpAddr;

#[cfg(any(feature = "client", feature = "jwt"))]
use http::Uri;

#[cfg(any(feature = "client", feature = "jwt"))]
use crate::config_error::ConfigError;

/// Whether the host is `localhost`, or an address of 127.0.0.0/8 or `::1` in its usual spelling.
#[cfg(any(feature = "client", feature = "jwt"))]
pub(crate) fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Parses an absolute https URL, or an http URL on loopback, that is in normal form.
///
/// Clients write URLs in normal form and compare them byte by byte.
#[cfg(feature = "jwt")]
pub(crate) fn parse_normal_form(what: &str, url: &str) -> Result<Uri, ConfigError> {
    let has_secure_scheme = |uri: &Uri| match uri.scheme_str() {
        Some("https") => true,
        Some("http") => is_loopback(uri),
        _ => false,
    };
    let has_plain_authority = |uri: &Uri| {
        uri.authority().is_some_and(|authority| match authority.port_u16() {
            _ if authority.host().is_empty() => false,
            Some(port) => *authority == *format!("{}:{port}", authority.host()),
            None => *authority == *authority.host(),
        })
    };
    let is_normal = |uri: &Uri| {
        // `http::Uri` drops fragments, so the text is checked.
        !url.contains(['@', '?', '#'])
            && has_secure_scheme(uri)
            && has_plain_authority(uri)
            && is_plain_path(uri.path())
    };
    url.parse::<Uri>().ok().filter(is_normal).ok_or_else(|| {
        ConfigError::new(format!(
            "the {what} {url:?} must be an absolute https URL (or http on loopback) in normal \
             form, without user information, query or fragment"
        ))
    })
}

/// Returns whether this is an absolute http or https URL.
#[cfg(feature = "jwt")]
pub(crate) fn is_absolute_http(url: &str) -> bool {
    let uri = url.parse::<Uri>();
    uri.is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")))
}

/// How documents may be fetched.
#[cfg(feature = "jwks")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// https, and http within this machine.
    Secure,
    /// http to anywhere, as was asked for by name.
    Insecure,
    /// What the user's own client makes of a URL is its business.
    Own,
}

#[cfg(feature = "jwks")]
impl Transport {
    pub(crate) fn allows(self, uri: &Uri) -> bool {
        let plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        match (self, uri.scheme_str()) {
            (_, Some("https")) => plain,
            (Self::Secure, Some("http")) => plain && is_loopback(uri),
            (Self::Insecure, Some("http")) => plain,
            (Self::Own, Some(_)) => true,
            _ => false,
        }
    }

    /// Returns whether the metadata of `issuer` may refer to keys at `uri`.
    ///
    /// Even if the client could fetch more, metadata must not lead to files, or from https to http.
    pub(crate) fn allows_link(self, issuer: &str, uri: &Uri) -> bool {
        let has_scheme = |uri: &Uri, scheme: &str| {
            uri.scheme_str().is_some_and(|known| known.eq_ignore_ascii_case(scheme))
        };
        let is_https_issuer =
            issuer.parse::<Uri>().is_ok_and(|issuer| has_scheme(&issuer, "https"));
        self.allows(uri)
            && (has_scheme(uri, "https") || (has_scheme(uri, "http") && !is_https_issuer))
            && !uri.authority().is_some_and(|authority| authority.as_str().contains('@'))
    }

    /// A URL from the configuration.
    pub(crate) fn check(self, url: &str) -> Result<Uri, ConfigError> {
        let uri = url.parse::<Uri>().ok().filter(|uri| self.allows(uri));
        uri.ok_or_else(|| {
            ConfigError::new(format!(
                "keys cannot be fetched from {url:?}: give an absolute https URL without user \
                 information, or http to loopback; elsewhere, http takes dangerous_allow_http"
            ))
        })
    }
}

/// An issuer's identifier, which is a URL without query and fragment (RFC 8414 §2).
#[cfg(feature = "jwks")]
pub(crate) fn check_issuer(transport: Transport, issuer: &str) -> Result<(), ConfigError> {
    let uri = transport.check(issuer)?;
    // `http::Uri` drops fragments, so the text is checked.
    if uri.query().is_some() || issuer.contains('#') {
        return Err(ConfigError::new(format!(
            "the issuer {issuer:?} has a query or a fragment, which issuers do not have"
        )));
    }
    Ok(())
}

/// Scheme, host and port (RFC 6454).
#[cfg(feature = "client")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

#[cfg(feature = "client")]
impl Origin {
    pub(crate) fn parse(origin: &str) -> Result<Self, ConfigError> {
        let uri = origin.parse::<Uri>().ok().filter(|uri| {
            let authority = uri.authority().map_or("", |authority| authority.as_str());
            // `http::Uri` drops fragments, so the text is checked.
            matches!(uri.path(), "" | "/")
                && uri.query().is_none()
                && !authority.contains('@')
                && !origin.contains('#')
        });
        uri.as_ref().and_then(Self::of).ok_or_else(|| {
            ConfigError::new(
                "only_to: give an origin, which is a scheme, a host and, where it is not the \
                 usual one, a port, such as https://api.example:8443",
            )
        })
    }

    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let usual = match scheme.as_str() {
            "http" | "ws" => Some(80),
            "https" | "wss" => Some(443),
            _ => None,
        };
        let host = uri.host().filter(|host| !host.is_empty())?.to_ascii_lowercase();
        Some(Self { scheme, host, port: uri.port_u16().or(usual) })
    }
}

/// Whether this is a path without empty, dot or odd parts, in which nothing is encoded that need not be (RFC 3986
/// §6.2.2), nor what would mean something else if it were not.
pub(crate) fn is_plain_path(path: &str) -> bool {
    let Some(inner) = path.strip_prefix('/') else { return false };
    let mut segments = inner.strip_suffix('/').unwrap_or(inner).split('/');
    let odd =
        |segment: &str| matches!(segment, "." | "..") || (segment.is_empty() && !inner.is_empty());
    let sound = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b';' | b'"');
    if segments.any(odd) || !path.bytes().all(sound) {
        return false;
    }
    path.split('%').skip(1).all(|after| {
        let code = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        code.is_some_and(|byte| {
            let unreserved =
                byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
            !unreserved && !matches!(byte, b'/' | b'\\' | b';' | b'%' | 0..32 | 127)
        })
    })
}

/// A plain path without its encoding. What is no UTF-8 stands for nothing that a pattern could name.
pub(crate) fn decode_path(path: &str) -> String {
    let mut parts = path.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).unwrap_or(("", part));
        bytes.extend(u8::from_str_radix(digits, 16).ok());
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_two_spellings_is_not_plain() {
        for plain in ["/", "/a", "/a/", "/a/b.c", "/a%20b", "/%C3%A4", "/a/b/c", "/...", "/a:b@c"] {
            assert!(is_plain_path(plain), "{plain}");
        }
        for odd in [
            "",
            "a",
            "*",
            "//",
            "/a//b",
            "//a",
            "/a/../b",
            "/a/./b",
            "/a/..",
            "/%2e%2e/b",
            "/%61",
            "/a%2Fb",
            "/a%5cb",
            "/a%00",
            "/a%2",
            "/a%zz",
            "/a%",
            "/a;b",
            "/a%3Bb",
            "/a%25b",
            "/a//",
            "/a%+1",
            "/ä",
            "/a b",
            "/a\"b",
            "/a\\b",
        ] {
            assert!(!is_plain_path(odd), "{odd}");
        }
        assert_eq!(decode_path("/a%20b/%C3%A4%3a"), "/a b/ä:");
    }

    #[cfg(feature = "jwks")]
    #[test]
    fn http_is_for_loopback_unless_asked_for_by_name() {
        let secure = |url: &str| Transport::Secure.check(url).is_ok();
        for good in [
            "https://issuer.example/a",
            "http://127.0.0.1:8080",
            "http://127.9.9.9",
            "http://LOCALHOST/x",
            "http://[::1]:80/",
        ] {
            assert!(secure(good), "{good}");
        }
        for bad in [
            "http://issuer.example",
            "http://10.0.0.1",
            "http://127.0.0.1.example",
            "http://localhost.example",
            "http://127.0.0.1@issuer.example",
            "https://user:secret@issuer.example",
            "ftp://127.0.0.1",
            "file:///etc/passwd",
            "//issuer.example",
            "issuer.example",
            "/keys",
            "",
        ] {
            assert!(!secure(bad), "{bad}");
        }
        assert!(Transport::Insecure.check("http://issuer.example").is_ok());
        assert!(Transport::Insecure.check("ftp://issuer.example").is_err());
        assert!(Transport::Own.check("vault://keys/a").is_ok());
    }

    #[cfg(feature = "jwks")]
    #[test]
    fn an_issuer_has_no_query_and_no_fragment() {
        for bad in ["https://a.example/?x", "https://a.example/#x", "https://a.example#x"] {
            assert!(check_issuer(Transport::Secure, bad).is_err(), "{bad}");
        }
        assert!(check_issuer(Transport::Secure, "https://a.example/").is_ok());
    }
}
