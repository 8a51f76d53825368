use std::{fmt, net::IpAddr, sync::Arc};

use http::{
    HeaderMap, HeaderName,
    header::{AsHeaderName, HOST},
    request::Parts,
};
use ipnet::IpNet;

use super::{connection_info::ConnectionInfo, peer::Peer};
use crate::{config_error::ConfigError, one_or_many::OneOrMany};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

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
/// Clones share the configuration.
#[derive(Clone)]
#[must_use]
pub struct Forwarded(Arc<Settings>);

#[derive(Clone)]
struct Settings {
    proxies: Vec<IpNet>,
    peer: Option<Arc<PeerFn>>,
    is_tls: bool,
}

type PeerFn = dyn Fn(&Parts) -> Option<IpAddr> + Send + Sync;

impl Forwarded {
    /// How many proxies a request may have passed through.
    const MAX_PROXIES: usize = 32;

    /// Trusts no proxy: the client is the other end of the connection.
    pub fn direct() -> Self {
        Self(Arc::new(Settings { proxies: Vec::new(), peer: None, is_tls: false }))
    }

    /// Trusts the headers of proxies in these networks, such as `10.0.0.0/8` or `::1`.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no network, or one is not a network.
    pub fn from_proxies<K>(networks: impl OneOrMany<str, K>) -> Result<Self, ConfigError> {
        let proxies = networks.values().map(|network| parse_network(network.as_ref()));
        let proxies = proxies.collect::<Result<Vec<_>, _>>()?;
        if proxies.is_empty() {
            return Err(ConfigError::missing(
                "no trusted proxy: name the networks of your proxies, or call Forwarded::direct",
            ));
        }
        Ok(Self(Arc::new(Settings { proxies, peer: None, is_tls: false })))
    }

    /// Reads the address of the other end of the connection with a closure.
    ///
    /// By default, it is what axum and tonic store in the extensions of a request.
    pub fn peer<F>(mut self, address: F) -> Self
    where
        F: Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static,
    {
        Arc::make_mut(&mut self.0).peer = Some(Arc::new(address));
        self
    }

    /// Declares that all connections of clients to this process use TLS.
    ///
    /// It has no effect on requests from trusted proxies, which report the scheme in a header.
    pub fn tls(mut self) -> Self {
        Arc::make_mut(&mut self.0).is_tls = true;
        self
    }

    /// Returns how the client sent the request with this head.
    #[must_use]
    pub fn info<'h>(&self, head: &'h Parts) -> ConnectionInfo<'h> {
        let settings = &*self.0;
        let peer = match &settings.peer {
            Some(address) => Peer { address: address(head), is_tls: false },
            None => Peer::of(head),
        };
        let address = peer.address.map(|address| address.to_canonical());
        let direct = ConnectionInfo {
            client_address: address,
            is_https: settings.is_tls || peer.is_tls,
            host: requested_host(head),
        };
        match address {
            Some(address) if settings.trusts(address) => settings.forwarded(direct, &head.headers),
            _ => direct,
        }
    }
}

impl Settings {
    fn trusts(&self, address: IpAddr) -> bool {
        self.proxies.iter().any(|network| network.contains(&address))
    }

    /// Returns what the trusted proxies report.
    fn forwarded<'h>(
        &self,
        direct: ConnectionInfo<'h>,
        headers: &'h HeaderMap,
    ) -> ConnectionInfo<'h> {
        let mut client_address = None;
        let mut passed = 0;
        for entry in entries_from_the_right(headers, X_FORWARDED_FOR) {
            passed += 1;
            client_address = entry.parse().ok().map(|address: IpAddr| address.to_canonical());
            let is_proxy = client_address.is_some_and(|address| self.trusts(address));
            if !is_proxy || passed == Forwarded::MAX_PROXIES {
                break;
            }
        }
        let entry_of = |name| entries_from_the_right(headers, name).take(passed.max(1)).last();
        let is_https =
            entry_of(X_FORWARDED_PROTO).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
        let host = entry_of(X_FORWARDED_HOST).or(direct.host);
        ConnectionInfo { client_address, is_https, host }
    }
}

/// Returns the entries of a list header, the last one first.
fn entries_from_the_right(
    headers: &HeaderMap,
    name: impl AsHeaderName,
) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).iter().rev();
    lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(',').map(str::trim_ascii))
}

/// Returns the host that the client sent: `:authority` or `Host`.
fn requested_host(head: &Parts) -> Option<&str> {
    match head.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => head.headers.get(HOST)?.to_str().ok(),
    }
}

fn parse_network(text: &str) -> Result<IpNet, ConfigError> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| {
        ConfigError::invalid(format!(
            "{text:?} is not a network: write an address, such as 10.0.0.1, or an address and the \
             length of the prefix, such as 10.0.0.0/8"
        ))
    })
}

impl fmt::Debug for Forwarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forwarded")
            .field("proxies", &self.0.proxies)
            .field("tls", &self.0.is_tls)
            .finish_non_exhaustive()
    }
}
