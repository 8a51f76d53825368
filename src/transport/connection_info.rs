use std::net::IpAddr;

use http::uri::Scheme;

/// How a client sent a request: its address, and the scheme and the host that it used.
///
/// Created by [`Forwarded::info`](super::Forwarded::info).
///
/// ```
/// use std::net::IpAddr;
///
/// use http::{Request, uri::Scheme};
/// use tower_auth::transport::Forwarded;
///
/// // The closure stands for the peer address that a framework provides.
/// let proxied = Forwarded::from_proxies("10.0.0.0/8")?.peer(|_| "10.0.0.1".parse().ok());
/// let request = Request::builder()
///     .header("host", "app.example")
///     .header("x-forwarded-for", "192.0.2.1")
///     .header("x-forwarded-proto", "https");
/// let (head, ()) = request.body(())?.into_parts();
/// let info = proxied.info(&head);
/// assert_eq!(info.client_address(), Some(IpAddr::from([192, 0, 2, 1])));
/// assert!(info.is_https());
/// assert_eq!(info.scheme(), Scheme::HTTPS);
/// assert_eq!(info.host(), Some("app.example"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionInfo<'h> {
    pub(crate) client_address: Option<IpAddr>,
    pub(crate) is_https: bool,
    pub(crate) host: Option<&'h str>,
}

impl<'h> ConnectionInfo<'h> {
    /// What is known if a proxy reported something unreadable.
    pub(crate) const UNKNOWN: Self = Self { client_address: None, is_https: false, host: None };

    /// Returns the address of the client, or `None` if it is unknown.
    ///
    /// An IPv4-mapped IPv6 address is returned as an IPv4 address, and without a zone.
    ///
    /// # Security
    ///
    /// Treat `None` like an address that is not allowed. It is never the address of a proxy that
    /// reported nothing readable.
    #[must_use]
    pub fn client_address(&self) -> Option<IpAddr> {
        self.client_address
    }

    /// Returns whether the client sent the request over TLS, as far as that is known.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// Returns the scheme that the client used. It is `http` if that is not known.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        if self.is_https { Scheme::HTTPS } else { Scheme::HTTP }
    }

    pub(crate) fn scheme_str(&self) -> &'static str {
        if self.is_https { "https" } else { "http" }
    }

    /// Returns the host and, if there is one, the port that the client used, such as
    /// `app.example:8443`. `None` if it is unknown, or is not the host of a URL.
    ///
    /// # Security
    ///
    /// The client chooses it. A browser sends the host of the URL, but other clients can send any
    /// text.
    #[must_use]
    pub fn host(&self) -> Option<&'h str> {
        self.host
    }
}

/// Returns whether a proxy reports TLS. Some use the schemes of WebSockets for these.
pub(crate) fn is_tls_scheme(scheme: &[u8]) -> bool {
    scheme.eq_ignore_ascii_case(b"https") || scheme.eq_ignore_ascii_case(b"wss")
}
