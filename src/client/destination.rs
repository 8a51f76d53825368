//! Decides whether credentials may be sent to the destination of a request.

use http::Uri;

use super::error::{AttachError, AttachErrorKind};
use crate::{origin::Origin, url::is_loopback};

/// The destination settings of [`AttachLayer`](super::AttachLayer).
#[derive(Clone, Debug, Default)]
pub(crate) struct DestinationRules {
    /// The origins that may receive credentials. If empty, all may.
    pub(crate) origins: Vec<Origin<'static>>,
    pub(crate) pass_others: bool,
    pub(crate) plaintext: bool,
}

/// What to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disposition {
    Attach,
    /// Send the request unchanged.
    PassThrough,
}

impl DestinationRules {
    /// Checks the URL of a request.
    pub(crate) fn check_destination(&self, uri: &Uri) -> Result<Disposition, AttachError> {
        // A URL without a host cannot be checked. The channel determines where the request goes.
        let Some(host) = uri.host() else { return Ok(Disposition::Attach) };
        let is_listed = self.origins.is_empty()
            || Origin::of(uri).is_some_and(|origin| self.origins.contains(&origin));
        if !is_listed {
            if self.pass_others {
                return Ok(Disposition::PassThrough);
            }
            return Err(AttachError::because(
                AttachErrorKind::OtherOrigin,
                format!(
                    "credentials must not be sent to {host}: add its origin with only_to, or send \
                     such requests without credentials with pass_others"
                ),
            ));
        }
        let is_encrypted = matches!(uri.scheme_str(), Some("https" | "wss"));
        if !is_encrypted && !is_loopback(uri) && !self.plaintext {
            return Err(AttachError::because(
                AttachErrorKind::Plaintext,
                format!(
                    "credentials must not be sent to {host} in plaintext: use https, or allow \
                     plaintext with dangerous_allow_plaintext"
                ),
            ));
        }
        Ok(Disposition::Attach)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rules: &DestinationRules, uri: &str) -> Result<Disposition, AttachErrorKind> {
        rules.check_destination(&uri.parse().unwrap()).map_err(|error| error.kind())
    }

    #[test]
    fn plaintext_is_rejected_except_to_loopback() {
        let mut rules = DestinationRules::default();
        for accepted in [
            "https://api.example/a",
            "HTTPS://api.example/a",
            "wss://api.example/a",
            "http://localhost:8080/a",
            "http://LOCALHOST/a",
            "http://127.0.0.1/a",
            "http://127.9.9.9:80/a",
            "http://[::1]:80/a",
            "/grpc.health.v1.Health/Check",
            "*",
        ] {
            assert_eq!(check(&rules, accepted), Ok(Disposition::Attach), "{accepted}");
        }
        let plaintext = [
            "http://api.example/a",
            "HTTP://api.example/a",
            "ws://api.example/a",
            "http://10.0.0.1/a",
            "http://128.0.0.1/a",
            "http://[::ffff:10.0.0.1]/a",
            "http://localhost.example/a",
            "http://127.0.0.1.example/a",
            "http://127.0.0.1@api.example/a",
            "http://localhost:80@api.example/a",
            "gopher://api.example/a",
            "api.example:80",
        ];
        for rejected in plaintext {
            assert_eq!(check(&rules, rejected), Err(AttachErrorKind::Plaintext), "{rejected}");
        }
        rules.plaintext = true;
        for allowed in plaintext {
            assert_eq!(check(&rules, allowed), Ok(Disposition::Attach), "{allowed}");
        }
    }

    #[test]
    fn origin_is_compared_by_scheme_host_and_port() {
        let origins = ["https://api.example", "https://API.example:8443/"];
        let origins = origins.map(|origin| Origin::parse(origin).unwrap()).to_vec();
        let mut rules = DestinationRules { origins, ..DestinationRules::default() };
        for same in [
            "https://api.example/a?b",
            "https://api.example:443/",
            "https://Api.Example/",
            "https://api.example:8443/",
            "/path/alone",
        ] {
            assert_eq!(check(&rules, same), Ok(Disposition::Attach), "{same}");
        }
        let others = [
            "https://api.example:444/",
            "https://api.example:80/",
            "https://api.example.evil.example/",
            "https://evil.example/https://api.example",
            "https://api.example@evil.example/",
            "https://sub.api.example/",
            "https://api.example./",
            "http://api.example:443/",
            "http://api.example/",
            "wss://api.example/",
            "http://127.0.0.1/",
            "api.example:443",
            // Some clients would connect to the default port.
            "https://api.example:99999/",
            "https://api.example:0/",
            "https://api.example:65979/",
        ];
        for other in others {
            assert_eq!(check(&rules, other), Err(AttachErrorKind::OtherOrigin), "{other}");
        }
        rules.pass_others = true;
        for other in others {
            assert_eq!(check(&rules, other), Ok(Disposition::PassThrough), "{other}");
        }
    }

    #[test]
    fn listed_origin_does_not_allow_plaintext() {
        let origins = vec![Origin::parse("http://api.example").unwrap()];
        let mut rules = DestinationRules { origins, pass_others: true, plaintext: false };
        assert_eq!(check(&rules, "http://api.example/"), Err(AttachErrorKind::Plaintext));
        rules.plaintext = true;
        assert_eq!(check(&rules, "http://api.example/"), Ok(Disposition::Attach));
    }

    #[test]
    fn malformed_origin_is_a_config_error_without_secrets() {
        for bad in [
            "",
            "api.example",
            "api.example:443",
            "/a",
            "https://",
            "https://api.example/a",
            "https://api.example/?a",
            "https://api.example#a",
            "https://user:secret@api.example",
            "https://a b",
            "https://api.example:99999",
            "https://api.example:0",
            "https://*.example",
            "https://*",
            "https://999.1.1.1",
            "https://[::g]",
            "https://a..example",
        ] {
            let error = Origin::parse(bad).unwrap_err().to_string();
            assert!(error.contains("https://api.example:8443") && !error.contains("secret"));
        }
    }

    #[test]
    fn error_contains_the_host_but_no_secrets_of_the_url() {
        let error = DestinationRules::default()
            .check_destination(&"http://u:s3cret@a.example/?key=s3cret".parse().unwrap());
        let error = error.unwrap_err();
        assert!(error.to_string().contains("a.example"));
        assert!(!format!("{error} {error:?}").contains("s3cret"));
    }
}
