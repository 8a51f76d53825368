use std::fmt;

use super::grammar::is_token;

/// The name of an authentication scheme, such as `Basic` or `Bearer` (RFC 9110 §11.1).
///
/// Names are case-insensitive, as the RFC requires.
///
/// ```
/// use tower_auth::Scheme;
///
/// const API_KEY: Scheme = Scheme::new("ApiKey");
/// assert_eq!(API_KEY, Scheme::new("apikey"));
/// assert_eq!(Scheme::BEARER.as_str(), "Bearer");
/// ```
#[derive(Clone, Copy)]
pub struct Scheme(&'static str);

impl Scheme {
    /// HTTP Basic authentication (RFC 7617).
    pub const BASIC: Self = Self::new("Basic");
    /// Bearer tokens (RFC 6750).
    pub const BEARER: Self = Self::new("Bearer");
    /// A cookie, such as that of a session.
    ///
    /// The name is not registered. It follows an Internet-Draft (`draft-broyer-http-cookie-auth`),
    /// and browsers ignore its challenge.
    pub const COOKIE: Self = Self::new("Cookie");
    /// The signature of a webhook. The name is not registered, and there is no challenge for it.
    pub const WEBHOOK: Self = Self::new("Webhook");
    /// Tokens that are sent together with a proof of possession (RFC 9449 §7.1).
    pub const DPOP: Self = Self::new("DPoP");
    /// A client certificate (TLS). The name is not registered, and clients ignore its challenge.
    pub const CERTIFICATE: Self = Self::new("Certificate");

    /// Creates a custom scheme.
    ///
    /// # Panics
    ///
    /// Panics if `name` is not a token (RFC 9110 §5.6.2). In a `const`, that is a compile error.
    #[must_use]
    #[track_caller]
    #[allow(clippy::panic)]
    pub const fn new(name: &'static str) -> Self {
        assert!(is_token(name.as_bytes()), "a scheme name must be a token (RFC 9110 §5.6.2)");
        Self(name)
    }

    /// Returns the name, in the spelling that challenges use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// Returns whether `name` is the name of this scheme, without regard to case.
    #[must_use]
    #[inline]
    pub fn matches(self, name: &str) -> bool {
        self.matches_bytes(name.as_bytes())
    }

    /// Returns whether the challenge has the parameters of RFC 6750 §3, such as `scope`.
    pub(crate) fn has_oauth_errors(self) -> bool {
        self == Self::BEARER || self == Self::DPOP
    }

    #[inline]
    pub(crate) fn matches_bytes(self, name: &[u8]) -> bool {
        // Most clients use the common spelling, and exact comparison is faster.
        self.0.as_bytes() == name || self.0.as_bytes().eq_ignore_ascii_case(name)
    }
}

/// Returns whether browsers send credentials for the scheme with this name on their own.
#[cfg(feature = "jwt")]
pub(crate) fn is_ambient(name: &str) -> bool {
    ["Basic", "Digest", "Negotiate", "NTLM"].iter().any(|known| known.eq_ignore_ascii_case(name))
}

impl PartialEq for Scheme {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other.0)
    }
}

impl Eq for Scheme {}

impl fmt::Debug for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
