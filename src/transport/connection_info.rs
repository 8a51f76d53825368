use std::net::IpAddr;

use http::uri::Scheme;

/// How a client sent a request: its address, and the scheme and the host that it used.
///
/// Created by [`Forwarded::info`](super::Forwarded::info).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionInfo<'h> {
    pub(crate) client_address: Option<IpAddr>,
    pub(crate) is_https: bool,
    pub(crate) host: Option<&'h str>,
}

impl<'h> ConnectionInfo<'h> {
    /// Returns the address of the client, or `None` if it is unknown.
    ///
    /// An IPv4-mapped IPv6 address is returned as an IPv4 address.
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

    /// Returns the host and, if there is one, the port that the client used, such as
    /// `app.example:8443`. `None` if it is unknown.
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
