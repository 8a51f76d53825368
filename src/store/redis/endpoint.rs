use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ProtocolVersion, PushInfo,
    RedisError, TlsCertificates, TlsMode,
    cluster::{ClusterClient, ClusterConfig},
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};

use super::{
    connection::{Cluster, Connection},
    session::{CloseGuard, Session},
};

/// Where the records are, and how to connect.
pub(super) struct Endpoint {
    pub(super) servers: Servers,
    /// The limit of an operation.
    pub(super) limit: Duration,
    pub(super) uses_tls: bool,
}

pub(super) enum Servers {
    Node(Client),
    Cluster(Box<ClusterServers>),
    Sentinels(Sentinels),
}

/// A cluster, and one of its nodes, for the settings of connections.
pub(super) struct ClusterServers {
    pub(super) client: ClusterClient,
    pub(super) node: ConnectionInfo,
}

/// The sentinels of a service.
pub(super) struct Sentinels {
    pub(super) service: String,
    pub(super) nodes: Vec<ConnectionInfo>,
    pub(super) certificates: Option<TlsCertificates>,
}

impl Endpoint {
    /// Returns the time limit of an attempt to connect. To find a server through sentinels or other
    /// nodes takes several steps, of which some can time out.
    pub(super) fn connect_limit(&self) -> Duration {
        match self.servers {
            Servers::Node(_) => self.limit,
            Servers::Cluster(_) | Servers::Sentinels(_) => {
                self.limit.saturating_mul(3).max(Duration::from_secs(3))
            }
        }
    }

    pub(super) async fn connect(&self) -> Result<Session, RedisError> {
        if self.uses_tls && CryptoProvider::get_default().is_none() {
            // `redis` uses the default provider and panics if it is ambiguous. This fails only if
            // the application has installed one in the meantime.
            let _ = aws_lc_rs::default_provider().install_default();
        }
        let is_closed = Arc::new(AtomicBool::new(false));
        let guard = CloseGuard::new(&is_closed);
        // The task that drives the connection owns this closure, and so the guard.
        let on_push = move |_: PushInfo| {
            let _ = &guard;
            Ok::<(), ()>(())
        };
        // A limit for each response ends what an operation left behind when its time was over.
        let config = || {
            AsyncConnectionConfig::new()
                .set_connection_timeout(None)
                .set_response_timeout(Some(self.limit))
        };
        let connection = match &self.servers {
            Servers::Node(client) => {
                let config = config().set_push_sender(on_push);
                let node = client.get_multiplexed_async_connection_with_config(&config).await?;
                Connection::Node(node)
            }
            Servers::Sentinels(sentinels) => {
                let config = config().set_push_sender(on_push);
                let node = sentinels.client()?.get_async_connection_with_config(&config).await?;
                Connection::Node(node)
            }
            Servers::Cluster(cluster) => {
                let config = ClusterConfig::new()
                    .set_connection_timeout(self.limit)
                    .set_response_timeout(self.limit)
                    .set_push_sender(on_push);
                let connection = cluster.client.get_async_connection_with_config(config).await?;
                let (node, limit) = (cluster.node.clone(), self.limit);
                Connection::Cluster(Box::new(Cluster { connection, node, limit }))
            }
        };
        Session::new(connection, is_closed).await
    }
}

impl Sentinels {
    /// Creates a client. It is used for one attempt, because it keeps connections that belong to a
    /// runtime.
    pub(super) fn client(&self) -> Result<SentinelClient, RedisError> {
        let addresses = self.nodes.iter().map(|node| node.addr().clone());
        let mut client = SentinelClientBuilder::new(
            addresses,
            &self.service,
            // Never a replica.
            SentinelServerType::Master,
        )?
        .set_client_to_redis_protocol(ProtocolVersion::RESP3)
        .set_client_to_sentinel_protocol(ProtocolVersion::RESP3);
        if let Some(node) = self.nodes.first() {
            let settings = node.redis_settings();
            client = client
                .set_client_to_redis_db(settings.db())
                .set_client_to_redis_tcp_settings(node.tcp_settings().clone())
                .set_client_to_sentinel_tcp_settings(node.tcp_settings().clone());
            if let Some(user) = settings.username() {
                client =
                    client.set_client_to_redis_username(user).set_client_to_sentinel_username(user);
            }
            if let Some(password) = settings.password() {
                client = client
                    .set_client_to_redis_password(password)
                    .set_client_to_sentinel_password(password);
            }
            if matches!(node.addr(), ConnectionAddr::TcpTls { .. }) {
                client = client.set_client_to_redis_tls_mode(TlsMode::Secure);
            }
        }
        if let Some(certificates) = &self.certificates {
            client = client
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates.clone());
        }
        client.build()
    }
}
