use std::{sync::Arc, time::Duration};

use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisError,
    TlsCertificates,
    cluster::ClusterClient,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::{
    endpoint::{ClusterServers, Endpoint, Sentinels, Servers},
    eviction::EvictionCheck,
    link::Link,
    redis::{Durable, Redis},
};
use crate::{
    config_error::ConfigError,
    observe::{Observe, observer::Observer},
};

/// Builds a [`Redis`]. Created by [`Redis::builder`], [`Redis::cluster`] and [`Redis::sentinel`].
///
/// ```
/// use std::time::Duration;
/// use tower_auth::store::Redis;
///
/// let redis = Redis::builder("rediss://shop:password@redis.internal:6380/2")?
///     .prefix("shop")
///     .timeout(Duration::from_millis(200))
///     .durable(1)
///     .build()?;
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
#[must_use = "a builder does nothing until `build` is called"]
pub struct RedisBuilder {
    topology: Topology,
    /// Not empty.
    nodes: Vec<ConnectionInfo>,
    prefix: String,
    timeout: Duration,
    durable: Option<u16>,
    root_certificate: Option<Vec<u8>>,
    observer: Observer,
}

enum Topology {
    Node,
    Cluster,
    Sentinel(String),
}

impl RedisBuilder {
    const DEFAULT_PREFIX: &str = "tower-auth";
    const MAX_PREFIX_LEN: usize = 128;
    const DEFAULT_TIMEOUT: Duration = Duration::from_millis(500);
    const MAX_TIMEOUT: Duration = Duration::from_secs(60);
    /// An idle connection that the network lost is noticed after about this time and three probes.
    const KEEPALIVE: Duration = Duration::from_secs(15);

    pub(super) fn node(url: &str) -> Result<Self, ConfigError> {
        Self::new(Topology::Node, [url])
    }

    pub(super) fn cluster(
        urls: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, ConfigError> {
        Self::new(Topology::Cluster, urls)
    }

    pub(super) fn sentinel(
        service: String,
        urls: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, ConfigError> {
        if service.is_empty() {
            return Err(ConfigError::missing(
                "the service name of the sentinels is empty: pass the name in `sentinel monitor`",
            ));
        }
        Self::new(Topology::Sentinel(service), urls)
    }

    fn new(
        topology: Topology,
        urls: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, ConfigError> {
        let nodes = urls.into_iter().map(|url| parse_url(url.as_ref()));
        let nodes: Vec<ConnectionInfo> = nodes.collect::<Result<_, _>>()?;
        let Some(first) = nodes.first() else {
            return Err(no_url());
        };
        if nodes.iter().any(|node| !has_same_settings(first, node)) {
            return Err(ConfigError::conflict(
                "use the same scheme, user, password and database in all Redis URLs",
            ));
        }
        let is_unix = matches!(first.addr(), ConnectionAddr::Unix(_));
        if is_unix && !matches!(topology, Topology::Node) {
            return Err(ConfigError::invalid(
                "a cluster and sentinels cannot be reached through a Unix socket: use redis://",
            ));
        }
        if first.redis_settings().db() != 0 && matches!(topology, Topology::Cluster) {
            return Err(ConfigError::invalid(
                "a Redis cluster has only the database 0: remove the database from the URLs",
            ));
        }
        Ok(Self {
            topology,
            nodes,
            prefix: Self::DEFAULT_PREFIX.into(),
            timeout: Self::DEFAULT_TIMEOUT,
            durable: None,
            root_certificate: None,
            observer: Observer::default(),
        })
    }

    /// Sets the prefix of all keys. A key is the prefix, a colon, the purpose, a colon and 64 hex
    /// digits. The default is `tower-auth`.
    ///
    /// Services that should share revocations need the same prefix.
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..self }
    }

    /// Sets the time limit of an operation, which includes connecting. The default is 500 ms.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Confirms a write that withdraws access, such as a logout, only after this number of replicas
    /// have received it. If they do not within three quarters of the [timeout](Self::timeout), the
    /// write fails as [`Unavailable`](crate::store::StoreErrorKind::Unavailable), although it took
    /// effect on the server.
    ///
    /// These writes use a second connection and the command `WAIT`. Without this, the failover to a
    /// replica can undo a logout that was just confirmed.
    pub fn durable(self, replicas: u16) -> Self {
        Self { durable: Some(replicas), ..self }
    }

    /// Trusts only the certificates in this PEM text for TLS, instead of those of the system.
    pub fn root_certificate(self, pem: impl Into<Vec<u8>>) -> Self {
        Self { root_certificate: Some(pem.into()), ..self }
    }

    /// Sets the observer of [`StoreMayEvict`](crate::observe::Event::StoreMayEvict). The default is
    /// the [default observer](crate::observe::set_default).
    pub fn observer(self, observer: impl Observe + 'static) -> Self {
        Self { observer: self.observer.with_observer(observer), ..self }
    }

    /// Builds the store. It connects when it is used first, and then reconnects when needed.
    ///
    /// # Errors
    ///
    /// Returns an error if a setting is invalid.
    pub fn build(self) -> Result<Redis, ConfigError> {
        let is_valid = |c: char| c.is_ascii_graphic();
        if self.prefix.is_empty()
            || self.prefix.len() > Self::MAX_PREFIX_LEN
            || !self.prefix.chars().all(is_valid)
        {
            return Err(ConfigError::invalid(
                "the prefix of Redis keys must have 1 to 128 visible ASCII characters",
            ));
        }
        if self.timeout < Duration::from_millis(1) || self.timeout > Self::MAX_TIMEOUT {
            return Err(ConfigError::invalid(
                "the timeout of a Redis store must be between 1 ms and 60 s",
            ));
        }
        if self.durable == Some(0) {
            return Err(ConfigError::invalid(
                "durable(0) would not wait for a replica: pass at least 1, or do not call it",
            ));
        }
        let certificates = self.certificates()?;
        let eviction = EvictionCheck::new(self.observer.clone());
        let link = |eviction| -> Result<_, ConfigError> {
            Ok(Arc::new(Link::new(self.endpoint(certificates.clone())?, eviction)))
        };
        let durable = match self.durable {
            Some(replicas) => Some(Durable { link: link(eviction.clone())?, replicas }),
            None => None,
        };
        let link = link(eviction)?;
        Ok(Redis::new(link, durable, self.prefix, self.timeout))
    }

    fn certificates(&self) -> Result<Option<TlsCertificates>, ConfigError> {
        let Some(pem) = &self.root_certificate else { return Ok(None) };
        if !self.uses_tls() {
            return Err(ConfigError::conflict(
                "root_certificate(..) needs TLS: use rediss:// in the Redis URL",
            ));
        }
        let is_certificate = |parsed: Result<CertificateDer<'_>, _>| parsed.is_ok();
        let mut found = CertificateDer::pem_slice_iter(pem).map(is_certificate).peekable();
        if found.peek().is_none() || !found.all(|is_certificate| is_certificate) {
            return Err(ConfigError::invalid(
                "the root certificate of the Redis server must be PEM: \
                 -----BEGIN CERTIFICATE-----",
            ));
        }
        Ok(Some(TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) }))
    }

    fn endpoint(&self, certificates: Option<TlsCertificates>) -> Result<Endpoint, ConfigError> {
        let nodes = self.nodes.clone();
        let first_client = || {
            let [first, ..] = &nodes[..] else { return Err(no_url()) };
            match certificates.clone() {
                Some(certificates) => Client::build_with_tls(first.clone(), certificates),
                None => Client::open(first.clone()),
            }
            .map_err(invalid)
        };
        let servers = match &self.topology {
            Topology::Node => Servers::Node(first_client()?),
            Topology::Cluster => {
                let mut builder = ClusterClient::builder(nodes.clone())
                    // Never sends a command again.
                    .retries(0)
                    .use_protocol(ProtocolVersion::RESP3)
                    .tcp_settings(tcp_settings());
                if let Some(certificates) = certificates.clone() {
                    builder = builder.certs(certificates);
                }
                let node = first_client()?.get_connection_info().clone();
                let client = builder.build().map_err(invalid)?;
                Servers::Cluster(Box::new(ClusterServers { client, node }))
            }
            Topology::Sentinel(service) => {
                let sentinels = Sentinels { service: service.clone(), nodes, certificates };
                sentinels.client().map_err(invalid)?;
                Servers::Sentinels(sentinels)
            }
        };
        Ok(Endpoint { servers, limit: self.timeout, uses_tls: self.uses_tls() })
    }

    fn uses_tls(&self) -> bool {
        self.nodes.iter().any(|node| matches!(node.addr(), ConnectionAddr::TcpTls { .. }))
    }
}

fn no_url() -> ConfigError {
    ConfigError::missing("pass the URL of at least one Redis server")
}

fn invalid(error: RedisError) -> ConfigError {
    ConfigError::invalid("the settings of the Redis store are invalid").with_source(error)
}

/// Parses a URL. An error does not repeat it, because it can contain a password.
fn parse_url(url: &str) -> Result<ConnectionInfo, ConfigError> {
    let invalid = || {
        ConfigError::invalid(
            "the Redis URL is invalid: use redis://[user:password@]host[:port][/database], \
             rediss:// for TLS, or unix:///path; percent-encode special characters",
        )
    };
    if url.contains('#') {
        return Err(ConfigError::invalid(
            "a Redis URL must not have a fragment: certificates are always verified",
        ));
    }
    let node = url.into_connection_info().map_err(|_| invalid())?;
    // A RESP3 connection reports that it was closed.
    let settings = node.redis_settings().clone();
    let settings = settings.set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name();
    Ok(node.set_redis_settings(settings).set_tcp_settings(tcp_settings()))
}

fn tcp_settings() -> TcpSettings {
    let interval = RedisBuilder::KEEPALIVE;
    let keepalive = TcpKeepalive::new().with_time(interval);
    TcpSettings::default().set_nodelay(true).set_keepalive(keepalive)
}

fn has_same_settings(one: &ConnectionInfo, other: &ConnectionInfo) -> bool {
    let (a, b) = (one.redis_settings(), other.redis_settings());
    let kind = |node: &ConnectionInfo| std::mem::discriminant(node.addr());
    kind(one) == kind(other)
        && a.username() == b.username()
        && a.password() == b.password()
        && a.db() == b.db()
}
