use std::{fmt, net::IpAddr, sync::Arc};

use http::request::Parts;

use super::{
    connection_info::ConnectionInfo,
    forwarded_header,
    host::requested_host,
    networks::Networks,
    peer::{PeerFn, peer_address},
    x_forwarded,
};
use crate::{config_error::ConfigError, one_or_many::OneOrMany};

/// Determines the address of the client, the scheme and the host of a request, from the connection
/// and from the headers of trusted proxies.
///
/// ```
/// use tower_auth::transport::Forwarded;
///
/// // Clients connect to this service directly:
/// let direct = Forwarded::direct();
/// // Or through a proxy in one of these networks:
/// let proxied = Forwarded::from_proxies(["10.0.0.0/8", "::1/128"])?;
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
///
/// The address of the peer, which is the other end of the connection, is the `ConnectInfo` of axum
/// (feature `axum`; needs `into_make_service_with_connect_info::<SocketAddr>()`) or the
/// `TcpConnectInfo` of tonic (feature `tonic`). For other servers, [`peer`](Self::peer) sets a
/// closure. Without a peer address, no header is read, and the client address is unknown.
///
/// Clones share the configuration. [The guide to proxies][guide] has the configuration of common
/// proxies.
///
/// # Which entry is read
///
/// If the peer is a trusted proxy, the last entry of `X-Forwarded-For` is the address that
/// connected to it. If that is a trusted proxy as well, the entry to its left is what this one
/// reports, and so on. The first address that is not a trusted proxy is the client. If all of them
/// are trusted, the leftmost is the client, which is then inside these networks. Entries to the
/// left of the client's address come from the client and are not read.
///
/// - **An unreadable entry ends the search**: the client address is unknown, and the scheme is
///   `http`. Entries can have ports, brackets and zones. An empty entry is unreadable.
/// - The same holds after 32 proxies.
/// - Without `X-Forwarded-For`, the client address is unknown. It is not that of the proxy.
/// - The scheme is the entry of `X-Forwarded-Proto` from the proxy that is nearest to the client.
///   One entry is enough, if that proxy sets it and the others pass it on. If there are several,
///   each proxy must have appended one. Otherwise, the scheme is `http`. `https` and `wss` stand
///   for TLS.
/// - The host is that of the request. The entries of [`forwarded_host`](Self::forwarded_host) are
///   found like the scheme.
///
/// # Security
///
/// - **Each proxy must append to `X-Forwarded-For`.** The proxy that clients connect to must set
///   `X-Forwarded-Proto`, or append to it, also for plain HTTP. A proxy passes on what a client
///   sent, unless it is configured to change it.
/// - **Name only networks in which nothing but your proxies can send requests** to this service. A
///   client in such a network can choose its address.
///
/// [guide]: https://docs.rs/tower-auth/latest/tower_auth/guide/proxies/
#[derive(Clone)]
#[must_use]
pub struct Forwarded(Arc<Settings>);

#[derive(Clone, Default)]
struct Settings {
    proxies: Networks,
    peer: Option<Arc<PeerFn>>,
    is_tls: bool,
    headers: Headers,
    reads_host: bool,
}

/// The headers that are read. All others come from the client.
#[derive(Clone, Copy, Debug, Default)]
enum Headers {
    #[default]
    XForwarded,
    Rfc7239,
}

impl Forwarded {
    /// Trusts no proxy: the client is the other end of the connection.
    pub fn direct() -> Self {
        Self(Arc::default())
    }

    /// Trusts the headers of proxies in these networks, such as `10.0.0.0/8` or `::1`.
    ///
    /// An IPv4-mapped network is the IPv4 network.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no network, one is not a network, or one contains all
    /// addresses.
    pub fn from_proxies<K>(networks: impl OneOrMany<str, K>) -> Result<Self, ConfigError> {
        let proxies = Networks::new(networks)?;
        Ok(Self(Arc::new(Settings { proxies, ..Settings::default() })))
    }

    /// Reads the header `Forwarded` (RFC 7239) in place of `X-Forwarded-For` and
    /// `X-Forwarded-Proto`, which are then ignored. It has no effect without proxies.
    ///
    /// The rules are the same: the element of the proxy that is nearest to the client counts. If
    /// its `for` is `unknown` or an identifier such as `_hidden`, or missing, the client address is
    /// unknown. An element with a syntax error or a repeated parameter is unreadable. IPv6
    /// addresses must have brackets and quotes, as in `for="[2001:db8::1]"`.
    ///
    /// ```
    /// use tower_auth::transport::Forwarded;
    ///
    /// // Forwarded: for=192.0.2.1;proto=https
    /// let proxied = Forwarded::from_proxies("10.0.0.0/8")?.rfc7239();
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    ///
    /// # Security
    ///
    /// Few proxies write this header. Most pass on that of the client, which would then be trusted.
    pub fn rfc7239(mut self) -> Self {
        Arc::make_mut(&mut self.0).headers = Headers::Rfc7239;
        self
    }

    /// Reads the host from `X-Forwarded-Host`, or from `host` in `Forwarded`, if the peer is a
    /// trusted proxy. If that is missing, the host is unknown. It has no effect without proxies.
    ///
    /// The default is the host of the request (`Host` or `:authority`), which the proxy must then
    /// pass on. Use this for proxies that replace it with the name of the service.
    ///
    /// ```
    /// use tower_auth::transport::Forwarded;
    ///
    /// // X-Forwarded-Host: app.example
    /// let proxied = Forwarded::from_proxies("10.0.0.0/8")?.forwarded_host();
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    ///
    /// # Security
    ///
    /// Each proxy must set or append it. Many pass on the `X-Forwarded-Host` of the client. A page
    /// that uses DNS rebinding could then claim another host, so that a check of the host has no
    /// effect.
    pub fn forwarded_host(mut self) -> Self {
        Arc::make_mut(&mut self.0).reads_host = true;
        self
    }

    /// Reads the address of the other end of the connection with a closure.
    ///
    /// By default, it is what axum and tonic store in the extensions of a request.
    ///
    /// ```
    /// use std::net::{IpAddr, Ipv6Addr};
    ///
    /// use tower_auth::transport::Forwarded;
    ///
    /// // A proxy connects through a Unix socket, which only it can access:
    /// let local = IpAddr::from(Ipv6Addr::LOCALHOST);
    /// let proxied = Forwarded::from_proxies("::1")?.peer(move |_| Some(local));
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    ///
    /// # Security
    ///
    /// The closure must not read a header, because clients choose these.
    pub fn peer<F>(mut self, address: F) -> Self
    where
        F: Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static,
    {
        Arc::make_mut(&mut self.0).peer = Some(Arc::new(address));
        self
    }

    /// Declares that all connections of clients to this process use TLS.
    ///
    /// It has no effect on requests from trusted proxies, which report the scheme in a header, nor,
    /// if there are trusted proxies, on requests without a peer address.
    ///
    /// ```
    /// use tower_auth::transport::Forwarded;
    ///
    /// let direct = Forwarded::direct().tls();
    /// ```
    pub fn tls(mut self) -> Self {
        Arc::make_mut(&mut self.0).is_tls = true;
        self
    }

    /// Returns how the client sent the request with this head.
    ///
    /// See [`ConnectionInfo`] for an example.
    #[must_use]
    pub fn info<'h>(&self, head: &'h Parts) -> ConnectionInfo<'h> {
        let settings = &*self.0;
        let peer = match &settings.peer {
            Some(address) => address(head),
            None => peer_address(head),
        };
        let peer = peer.map(|address| address.to_canonical());
        match peer {
            Some(address) if settings.proxies.contains(address) => settings.reported(head),
            _ => ConnectionInfo {
                client_address: peer,
                // A peer without an address can be a proxy, which uses plain HTTP.
                is_https: settings.is_tls && (peer.is_some() || settings.proxies.is_empty()),
                host: requested_host(head),
            },
        }
    }
}

impl Settings {
    /// Returns what the trusted proxies report.
    fn reported<'h>(&self, head: &'h Parts) -> ConnectionInfo<'h> {
        let reported = match self.headers {
            Headers::XForwarded => x_forwarded::reported(&head.headers, &self.proxies),
            Headers::Rfc7239 => forwarded_header::reported(&head.headers, &self.proxies),
        };
        let host = if self.reads_host { reported.host } else { requested_host(head) };
        ConnectionInfo { host, ..reported }
    }
}

impl fmt::Debug for Forwarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { proxies, peer: _, is_tls, headers, reads_host } = &*self.0;
        f.debug_struct("Forwarded")
            .field("proxies", proxies)
            .field("headers", headers)
            .field("forwarded_host", reads_host)
            .field("tls", is_tls)
            .finish_non_exhaustive()
    }
}
