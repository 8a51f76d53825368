//! The names of cookies (RFC 6265 §4.1.1).

use crate::{config_error::ConfigError, header::grammar::is_token};

/// A browser accepts a cookie with this prefix only from the host itself, over TLS and for all
/// paths (RFC 6265bis §4.1.3.2).
const HOST_PREFIX: &str = "__Host-";

/// Checks the name of a cookie that only this host can set.
pub(crate) fn check_host_name(name: &str) -> Result<(), ConfigError> {
    match name.strip_prefix(HOST_PREFIX) {
        Some(rest) if is_token(rest.as_bytes()) => Ok(()),
        Some(_) => check_name(name).and(Err(ConfigError::invalid(
            "the name of a cookie must not be `__Host-` alone: append a name",
        ))),
        None => Err(ConfigError::invalid(format!(
            "the name of the cookie {name:?} must start with `__Host-`, with a capital H: a browser \
             accepts such a cookie only from the host itself"
        ))),
    }
}

/// Checks the name of any cookie.
#[cfg_attr(not(feature = "jwt"), allow(dead_code))]
pub(crate) fn check_name(name: &str) -> Result<(), ConfigError> {
    if is_token(name.as_bytes()) {
        return Ok(());
    }
    Err(ConfigError::invalid(format!(
        "invalid name of a cookie {name:?}: use only letters, digits and the characters \
         `!#$%&'*+-.^_`|~` (RFC 6265 §4.1.1)"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_token_after_the_exact_prefix_is_a_host_name() {
        assert!(check_host_name("__Host-token").is_ok());
        assert!(check_host_name("__Host-Http-token").is_ok());
        for (name, reason) in [
            ("token", "must start with `__Host-`"),
            ("__host-token", "must start with `__Host-`"),
            ("__Secure-token", "must start with `__Host-`"),
            (" __Host-token", "must start with `__Host-`"),
            ("\u{2000}__Host-token", "must start with `__Host-`"),
            ("", "must start with `__Host-`"),
            ("__Host-", "append a name"),
            ("__Host-a b", "invalid name"),
            ("__Host-a=b", "invalid name"),
            ("__Host-a;b", "invalid name"),
            ("__Host-é", "invalid name"),
        ] {
            let error = check_host_name(name).unwrap_err().to_string();
            assert!(error.contains(reason), "{name:?}: {error}");
        }
    }

    #[test]
    fn empty_or_delimited_text_is_not_a_name() {
        assert!(check_name("token").is_ok() && check_name("$Version").is_ok());
        for name in ["", " ", "a=", "a;b", "a b", "é", "a\r\n"] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }
}
