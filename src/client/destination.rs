//! Where credentials may go.

use http::Uri;

use super::error::{AttachError, AttachErrorKind};
use crate::url::{Origin, is_loopback};

/// What [`AttachLayer`](super::AttachLayer) was told of where credentials may go.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    /// Those that they are for; where there are none, they are for all.
    pub(crate) origins: Vec<Origin>,
    pub(crate) pass_others: bool,
    pub(crate) plaintext: bool,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    Attach,
    /// It goes without credentials.
    PassOn,
}

impl Rules {
    pub(crate) fn judge(&self, uri: &Uri) -> Result<Course, AttachError> {
        // A path alone tells nothing. Whoever made the channel chose where it leads.
        let Some(host) = uri.host() else { return Ok(Course::Attach) };
        let is_listed = self.origins.is_empty()
            || Origin::of(uri).is_some_and(|origin| self.origins.contains(&origin));
        if !is_listed {
            if self.pass_others {
                return Ok(Course::PassOn);
            }
            return Err(AttachError::because(
                AttachErrorKind::OtherOrigin,
                format!(
                    "the credentials are not for {host}: add its origin with only_to, or let such \
                     requests go without credentials with pass_others"
                ),
            ));
        }
        let is_encrypted = matches!(uri.scheme_str(), Some("https" | "wss"));
        if !is_encrypted && !is_loopback(uri) && !self.plaintext {
            return Err(AttachError::because(
                AttachErrorKind::Plaintext,
                format!(
                    "credentials are not sent in the clear to {host}: use https, or allow it with \
                     dangerous_allow_plaintext"
                ),
            ));
        }
        Ok(Course::Attach)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(rules: &Rules, uri: &str) -> Result<Course, AttachErrorKind> {
        rules.judge(&uri.parse().unwrap()).map_err(|error| error.kind())
    }

    #[test]
    fn nothing_goes_in_the_clear_but_within_this_machine() {
        let mut rules = Rules::default();
        for good in [
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
            assert_eq!(judge(&rules, good), Ok(Course::Attach), "{good}");
        }
        let clear = [
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
        for bad in clear {
            assert_eq!(judge(&rules, bad), Err(AttachErrorKind::Plaintext), "{bad}");
        }
        rules.plaintext = true;
        for allowed in clear {
            assert_eq!(judge(&rules, allowed), Ok(Course::Attach), "{allowed}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let origins = ["https://api.example", "https://API.example:8443/"];
        let origins = origins.map(|origin| Origin::parse(origin).unwrap()).to_vec();
        let mut rules = Rules { origins, ..Rules::default() };
        for same in [
            "https://api.example/a?b",
            "https://api.example:443/",
            "https://Api.Example/",
            "https://api.example:8443/",
            "/path/alone",
        ] {
            assert_eq!(judge(&rules, same), Ok(Course::Attach), "{same}");
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
        ];
        for other in others {
            assert_eq!(judge(&rules, other), Err(AttachErrorKind::OtherOrigin), "{other}");
        }
        rules.pass_others = true;
        for other in others {
            assert_eq!(judge(&rules, other), Ok(Course::PassOn), "{other}");
        }
    }

    #[test]
    fn an_origin_that_is_listed_is_not_a_leave_for_plaintext() {
        let origins = vec![Origin::parse("http://api.example").unwrap()];
        let mut rules = Rules { origins, pass_others: true, plaintext: false };
        assert_eq!(judge(&rules, "http://api.example/"), Err(AttachErrorKind::Plaintext));
        rules.plaintext = true;
        assert_eq!(judge(&rules, "http://api.example/"), Ok(Course::Attach));
    }

    #[test]
    fn what_is_no_origin_is_found_while_building() {
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
        ] {
            let error = Origin::parse(bad).unwrap_err().to_string();
            assert!(error.contains("https://api.example:8443") && !error.contains("secret"));
        }
    }

    #[test]
    fn an_error_tells_no_secret_of_the_url() {
        let error =
            Rules::default().judge(&"http://u:s3cret@a.example/?key=s3cret".parse().unwrap());
        let error = error.unwrap_err();
        assert!(error.to_string().contains("a.example"));
        assert!(!format!("{error} {error:?}").contains("s3cret"));
    }
}
