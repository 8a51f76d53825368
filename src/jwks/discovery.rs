//! Where an issuer's documents are, and which URLs are safe to ask.

use http::Uri;

use crate::{config_error::ConfigError, url::is_loopback};

/// How documents may be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// https, and http within this machine.
    Secure,
    /// http to anywhere, as was asked for by name.
    Insecure,
    /// What the user's own client makes of a URL is its business.
    Own,
}

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
pub(crate) fn check_issuer(transport: Transport, issuer: &str) -> Result<(), ConfigError> {
    let uri = transport.check(issuer)?;
    // `http::Uri` drops a fragment without a word.
    if uri.query().is_some() || issuer.contains('#') {
        return Err(ConfigError::new(format!(
            "the issuer {issuer:?} has a query or a fragment, which issuers do not have"
        )));
    }
    Ok(())
}

/// The URLs of an issuer's metadata, the likelier first: of OpenID Connect Discovery 1.0 §4, which appends
/// the well-known part to the issuer, and of RFC 8414 §3, which puts it between host and path, with either
/// name (§5).
pub(crate) fn metadata_urls(issuer: &str) -> Vec<String> {
    const OPENID: &str = "/.well-known/openid-configuration";
    const OAUTH: &str = "/.well-known/oauth-authorization-server";

    let issuer = issuer.strip_suffix('/').unwrap_or(issuer);
    let authority = issuer.find("://").map_or(0, |at| at + 3);
    let path = issuer.get(authority..).and_then(|rest| rest.find('/')).map(|at| authority + at);
    let (origin, path) = issuer.split_at(path.unwrap_or(issuer.len()));
    let mut urls = vec![format!("{issuer}{OPENID}"), format!("{origin}{OAUTH}{path}")];
    if !path.is_empty() {
        urls.push(format!("{origin}{OPENID}{path}"));
    }
    urls
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn an_issuer_has_no_query_and_no_fragment() {
        for bad in ["https://a.example/?x", "https://a.example/#x", "https://a.example#x"] {
            assert!(check_issuer(Transport::Secure, bad).is_err(), "{bad}");
        }
        assert!(check_issuer(Transport::Secure, "https://a.example/").is_ok());
    }

    #[test]
    fn metadata_is_at_the_well_known_places() {
        assert_eq!(
            metadata_urls("https://a.example/"),
            [
                "https://a.example/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server",
            ]
        );
        assert_eq!(
            metadata_urls("https://a.example:8/t/1"),
            [
                "https://a.example:8/t/1/.well-known/openid-configuration",
                "https://a.example:8/.well-known/oauth-authorization-server/t/1",
                "https://a.example:8/.well-known/openid-configuration/t/1",
            ]
        );
    }
}
