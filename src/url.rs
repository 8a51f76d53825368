//! The rules for URLs.

#[cfg(feature = "jwt")]
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[cfg(any(feature = "client", feature = "jwt"))]
use http::Uri;

#[cfg(feature = "jwt")]
use crate::config_error::ConfigError;
#[cfg(feature = "jwt")]
use crate::path::is_plain_path;

/// Prints a configured URL without the parts that can contain secrets: user information and query.
///
/// `Debug` adds quotation marks. A text that is not a URL is omitted if it might contain such
/// parts.
#[cfg(feature = "jwt")]
pub(crate) struct Redacted<'a>(pub(crate) &'a str);

#[cfg(feature = "jwt")]
impl fmt::Display for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(url) = *self;
        let has_clear_parts = |uri: &Uri| {
            // Otherwise, the part after the colon can be the start of a password.
            uri.authority().map_or(!url.contains('@'), |authority| {
                let host = authority.as_str().rsplit('@').next();
                host == Some(authority.host()) || authority.port_u16().is_some()
            })
        };
        let uri = match url.parse::<Uri>() {
            Ok(uri) if has_clear_parts(&uri) => uri,
            _ => return f.write_str(if url.contains(['@', '?', '#']) { "..." } else { url }),
        };
        let end = url.find(['?', '#']).unwrap_or(url.len());
        let (url, hidden) = url.split_at(end);
        let user_info = uri.authority().and_then(|authority| authority.as_str().rsplit_once('@'));
        // A text without a scheme can be an issuer that is a mail address.
        let is_secret = |text: &&str| uri.scheme().is_some() || text.contains(':');
        match user_info.map(|(user_info, _)| user_info).filter(is_secret) {
            Some(user_info) => f.write_str(&url.replacen(&format!("{user_info}@"), "", 1))?,
            None => f.write_str(url)?,
        }
        f.write_str(if hidden.is_empty() { "" } else { "?..." })
    }
}

#[cfg(feature = "jwt")]
impl<'a> Redacted<'a> {
    /// Returns the printable forms of several texts.
    pub(crate) fn all<S: AsRef<str>>(urls: &'a [S]) -> Vec<Self> {
        urls.iter().map(|url| Self(url.as_ref())).collect()
    }
}

#[cfg(feature = "jwt")]
impl fmt::Debug for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// Returns whether the host is `localhost`, `::1` or an address in 127.0.0.0/8.
#[cfg(any(feature = "client", feature = "jwt"))]
pub(crate) fn is_loopback(uri: &Uri) -> bool {
    is_loopback_host(uri.host().unwrap_or_default())
}

/// Like [`is_loopback`], for a host without a port.
pub(crate) fn is_loopback_host(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Returns whether a URL has a host that can exist, and no port or a port that can be used.
///
/// `http::Uri` accepts more: `*.example`, `999.1.1.1` and `a..b`, and it ignores port 99999.
#[cfg(any(feature = "client", feature = "jwt"))]
pub(crate) fn has_possible_authority(uri: &Uri) -> bool {
    let Some(authority) = uri.authority() else { return false };
    let (host, text) = (authority.host(), authority.as_str());
    let without_user_info = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
    let is_possible_port = |port: &str| match port.strip_prefix(':') {
        None => port.is_empty(),
        // An empty port is the default port (RFC 3986 §3.2.3).
        Some(digits) => {
            digits.bytes().all(|byte| byte.is_ascii_digit())
                && (digits.is_empty() || digits.parse::<u16>().is_ok_and(|port| port != 0))
        }
    };
    is_possible_host(host) && without_user_info.strip_prefix(host).is_some_and(is_possible_port)
}

/// Returns whether this is an IP address or a domain name. Domain names may have underscores and a
/// final dot.
pub(crate) fn is_possible_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        return address.strip_suffix(']').is_some_and(|it| it.parse::<Ipv6Addr>().is_ok());
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_label = |label: &str| {
        let is_label_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(is_label_byte)
    };
    // A name whose last label is a number is an IPv4 address.
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    name.len() <= 253
        && name.split('.').all(is_label)
        && (!name.rsplit('.').next().is_some_and(is_number) || name.parse::<Ipv4Addr>().is_ok())
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
            Some(port) => *authority == *format!("{}:{port}", authority.host()),
            None => *authority == *authority.host(),
        })
    };
    let is_normal = |uri: &Uri| {
        // `http::Uri` drops fragments, so the text is checked.
        !url.contains(['@', '?', '#'])
            && has_secure_scheme(uri)
            && has_possible_authority(uri)
            && has_plain_authority(uri)
            && is_plain_path(uri.path())
    };
    url.parse::<Uri>().ok().filter(is_normal).ok_or_else(|| {
        ConfigError::invalid(format!(
            "the {what} {:?} must be an absolute https URL (or http for loopback) in normal form, \
             with a valid host and port, and without user information, query or fragment",
            Redacted(url)
        ))
    })
}

/// Returns whether this is an absolute http or https URL.
#[cfg(feature = "jwt")]
pub(crate) fn is_absolute_http(url: &str) -> bool {
    let is_http = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https"));
    url.parse().is_ok_and(|uri| is_http(&uri) && has_possible_authority(&uri))
}

/// The URLs from which documents may be fetched.
#[cfg(feature = "jwks")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// https, and http for loopback.
    Secure,
    /// https and http (`dangerous_allow_http`).
    #[cfg(any(feature = "client-oauth", feature = "jwks-reqwest"))]
    Insecure,
    /// Any absolute URL: a custom client decides what to do with it.
    Custom,
}

#[cfg(feature = "jwks")]
impl Transport {
    /// Returns whether documents may be fetched from `uri`.
    pub(crate) fn allows(self, uri: &Uri) -> bool {
        let has_no_user_info =
            uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        match (self, uri.scheme_str()) {
            (_, Some("http" | "https")) if !has_possible_authority(uri) => false,
            (_, Some("https")) => has_no_user_info,
            (Self::Secure, Some("http")) => has_no_user_info && is_loopback(uri),
            #[cfg(any(feature = "client-oauth", feature = "jwks-reqwest"))]
            (Self::Insecure, Some("http")) => has_no_user_info,
            (Self::Custom, Some(_)) => true,
            _ => false,
        }
    }

    /// Returns whether the metadata of `issuer` may refer to keys at `uri`.
    ///
    /// Even if the client could fetch more, metadata must not lead to files, or from https to http.
    pub(crate) fn allows_link(self, issuer: &str, uri: &Uri) -> bool {
        let has_scheme = |uri: &Uri, scheme: &str| {
            uri.scheme_str().is_some_and(|other| other.eq_ignore_ascii_case(scheme))
        };
        let is_https_issuer =
            issuer.parse::<Uri>().is_ok_and(|issuer| has_scheme(&issuer, "https"));
        self.allows(uri)
            && (has_scheme(uri, "https") || (has_scheme(uri, "http") && !is_https_issuer))
            && !uri.authority().is_some_and(|authority| authority.as_str().contains('@'))
    }

    /// Parses a URL from the configuration, and checks that it is allowed.
    pub(crate) fn parse_allowed(self, url: &str) -> Result<Uri, ConfigError> {
        let uri = url.parse::<Uri>().ok().filter(|uri| self.allows(uri));
        uri.ok_or_else(|| {
            ConfigError::invalid(format!(
                "cannot fetch from {:?}: use an absolute https URL (or http for loopback) \
                 with a valid host and port, and without user information; for other http URLs, \
                 call dangerous_allow_http",
                Redacted(url)
            ))
        })
    }
}

/// Checks an issuer identifier: a URL without query and fragment (RFC 8414 §2).
#[cfg(feature = "jwks")]
pub(crate) fn check_issuer(transport: Transport, issuer: &str) -> Result<(), ConfigError> {
    let uri = transport.parse_allowed(issuer)?;
    // `http::Uri` drops fragments, so the text is checked.
    if uri.query().is_some() || issuer.contains('#') {
        return Err(ConfigError::invalid(format!(
            "the issuer {:?} must not have a query or a fragment: remove it",
            Redacted(issuer)
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(any(feature = "client", feature = "jwt"))]
    #[test]
    fn impossible_host_or_port_is_not_accepted() {
        let is_possible = |authority: &str| {
            let uri = format!("https://{authority}/").parse::<Uri>();
            uri.is_ok_and(|uri| has_possible_authority(&uri))
        };
        let label = "a".repeat(63);
        let longest = [&*label, &label, &label, &"a".repeat(61)].join(".");
        for possible in [
            "a",
            "localhost",
            "api.example",
            "api.example.",
            "API-1.Example",
            "_dmarc.a_b.example",
            "xn--bcher-kva.example",
            "1.example",
            "127.0.0.1",
            "255.255.255.255",
            "[::1]",
            "[::ffff:10.0.0.1]",
            "a.example:1",
            "a.example:65535",
            "a.example:0443",
            "a.example:",
            "[::1]:80",
            "me@a.example:80",
            &longest,
        ] {
            assert!(is_possible(possible), "{possible}");
        }
        for impossible in [
            "",
            ":80",
            "me@",
            "*",
            "*.example",
            "api.*",
            "a..example",
            ".example",
            "a.example..",
            ".",
            "a%2eexample",
            "a+b.example",
            "a!.example",
            "999.1.1.1",
            "1.2.3",
            "1.2.3.4.5",
            "127.0.0.01",
            "1",
            "a.example:0",
            "a.example:00",
            "a.example:65536",
            "a.example:99999",
            "a.example:18446744073709551617",
            "a.example:+80",
            "a.example:80:80",
            "a.example:http",
            "me@a.example:99999",
            "a:99999@",
            "[::1]:99999",
            "[::g]",
            "[::1",
            "[1.2.3.4]",
            "[]",
            "[v1.a]",
            &format!("{label}a.example"),
            &format!("a{longest}"),
        ] {
            assert!(!is_possible(impossible), "{impossible}");
        }
    }

    #[cfg(feature = "jwt")]
    #[test]
    fn user_information_and_query_of_a_url_are_not_printed() {
        for (url, printed) in [
            ("https://a.example", "https://a.example"),
            ("https://a.example/", "https://a.example/"),
            ("https://a.example:8443/t/@scope", "https://a.example:8443/t/@scope"),
            ("https://user:secret@a.example/keys", "https://a.example/keys"),
            ("https://secret@a.example", "https://a.example"),
            ("https://user:x@secret@a.example/", "https://a.example/"),
            ("https://a.example/keys?key=secret", "https://a.example/keys?..."),
            ("https://a.example?secret/@x", "https://a.example?..."),
            ("https://a.example/#secret", "https://a.example/?..."),
            ("user:secret@a.example/keys", "..."),
            ("https://user:sec/ret@a.example", "..."),
            ("https://user:sec?ret@a.example", "..."),
            ("https://user:secret@a.example/ä b", "..."),
            ("https:/user:secret@a.example", "..."),
            ("//user:secret@a.example/keys", "..."),
            ("https://a.example:99999", "https://a.example:99999"),
            ("https://[::1]:80/?x", "https://[::1]:80/?..."),
            ("https://[::1]", "https://[::1]"),
            ("robot@project.example", "robot@project.example"),
            ("a.example", "a.example"),
            ("", ""),
        ] {
            assert_eq!(Redacted(url).to_string(), printed, "{url}");
            assert_eq!(format!("{:?}", Redacted(url)), format!("{printed:?}"));
        }
    }

    #[cfg(feature = "jwks-reqwest")]
    #[test]
    fn http_is_allowed_only_for_loopback_unless_insecure() {
        let is_allowed = |url: &str| Transport::Secure.parse_allowed(url).is_ok();
        for url in [
            "https://issuer.example/a",
            "http://127.0.0.1:8080",
            "http://127.9.9.9",
            "http://LOCALHOST/x",
            "http://[::1]:80/",
        ] {
            assert!(is_allowed(url), "{url}");
        }
        for url in [
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
            "https://issuer.example:99999",
            "https://*.example",
            "http://127.0.0.1:0",
        ] {
            assert!(!is_allowed(url), "{url}");
        }
        assert!(Transport::Custom.parse_allowed("https://*.example").is_err());
        assert!(Transport::Custom.parse_allowed("vault://*/99999").is_ok());
        assert!(Transport::Insecure.parse_allowed("http://issuer.example").is_ok());
        assert!(Transport::Insecure.parse_allowed("ftp://issuer.example").is_err());
        assert!(Transport::Custom.parse_allowed("vault://keys/a").is_ok());
    }

    #[cfg(feature = "jwks")]
    #[test]
    fn issuer_with_query_or_fragment_is_rejected() {
        for issuer in ["https://a.example/?x", "https://a.example/#x", "https://a.example#x"] {
            assert!(check_issuer(Transport::Secure, issuer).is_err(), "{issuer}");
        }
        assert!(check_issuer(Transport::Secure, "https://a.example/").is_ok());
    }
}
