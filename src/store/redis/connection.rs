use std::{collections::HashMap, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue,
    Pipeline, RedisError, ServerErrorKind, Value,
    aio::MultiplexedConnection,
    cluster_async::ClusterConnection,
    cluster_routing::{
        MultipleNodeRoutingInfo, Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr,
    },
    cmd, from_redis_value,
};
use tokio::task::JoinSet;

use super::command::{Command, get_all};

/// A connection to a server, or to all nodes of a cluster. Clones share it.
///
/// Neither client sends a command again: a `MultiplexedConnection` has no retries, and those of the
/// `ClusterConnection` are turned off. A redirection is followed here, because a node that
/// redirects has not executed the command.
#[derive(Clone)]
pub(super) enum Connection {
    Node(MultiplexedConnection),
    Cluster(Box<Cluster>),
}

/// A cluster, and how to reach one of its nodes directly.
#[derive(Clone)]
pub(super) struct Cluster {
    pub(super) connection: ClusterConnection,
    pub(super) node: ConnectionInfo,
    pub(super) limit: Duration,
}

/// How many replicas have to confirm a write, and within which time.
#[derive(Clone, Copy)]
pub(super) struct Wait {
    pub(super) replicas: u16,
    pub(super) limit: Duration,
}

/// How often a command is redirected before it fails.
const MAX_REDIRECTIONS: usize = 4;

impl Connection {
    /// Reads several keys. On one server, the values are of one instant, so that a server that is
    /// emptied meanwhile does not return half of them. In a cluster, a replica redirects.
    pub(super) async fn read<T>(self, commands: Vec<Command>) -> Result<Vec<T>, RedisError>
    where
        T: FromRedisValue + Send + 'static,
    {
        match self {
            Self::Node(_) if commands.is_empty() => Ok(Vec::new()),
            Self::Node(mut node) => get_all(&commands).query_async(&mut node).await,
            Self::Cluster(cluster) => cluster.run_all(commands, None).await,
        }
    }

    /// Writes several keys, and waits for replicas.
    pub(super) async fn write<T>(
        self,
        commands: Vec<Command>,
        wait: Option<Wait>,
    ) -> Result<Vec<T>, RedisError>
    where
        T: FromRedisValue + Send + 'static,
    {
        match self {
            Self::Node(mut node) => {
                let mut pipeline = pipeline(&commands);
                if let Some(wait) = wait {
                    pipeline.add_command(wait.cmd());
                }
                let values = pipeline.query_async::<Vec<Value>>(&mut node).await?;
                confirmed(values, wait)?.into_iter().map(parse).collect()
            }
            Self::Cluster(cluster) => cluster.run_all(commands, wait).await,
        }
    }

    /// Returns the time of the server in seconds and microseconds.
    pub(super) async fn time(self) -> Result<(u64, u32), RedisError> {
        match self {
            Self::Node(mut node) => cmd("TIME").query_async(&mut node).await,
            Self::Cluster(mut cluster) => {
                let route = RoutingInfo::SingleNode(SingleNodeRoutingInfo::RandomPrimary);
                parse(cluster.connection.route_command(cmd("TIME"), route).await?)
            }
        }
    }

    /// Returns `INFO memory` of each server.
    pub(super) async fn memory_info(self) -> Result<Vec<String>, RedisError> {
        let mut info = cmd("INFO");
        info.arg("memory");
        match self {
            Self::Node(mut node) => Ok(vec![info.query_async(&mut node).await?]),
            Self::Cluster(mut cluster) => {
                let route = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
                match cluster.connection.route_command(info, route).await? {
                    Value::Map(nodes) => nodes.into_iter().map(|(_, info)| parse(info)).collect(),
                    info => Ok(vec![parse(info)?]),
                }
            }
        }
    }

    /// Returns whether the connection is unusable after this error.
    pub(super) fn is_broken_by(&self, error: &RedisError) -> bool {
        let is_read_only = error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly);
        match self {
            // After a failover, the name of the server or the sentinels lead to another server.
            Self::Node(_) => error.is_unrecoverable_error() || is_read_only,
            // The client reconnects to single nodes itself.
            Self::Cluster(_) => error.kind() == ErrorKind::ClusterConnectionNotFound,
        }
    }
}

impl Cluster {
    /// Runs the commands of different keys in parallel, and those of one key in order.
    async fn run_all<T>(
        &self,
        commands: Vec<Command>,
        wait: Option<Wait>,
    ) -> Result<Vec<T>, RedisError>
    where
        T: FromRedisValue + Send + 'static,
    {
        let mut by_key: HashMap<String, Vec<(usize, Command)>> = HashMap::new();
        for (index, command) in commands.into_iter().enumerate() {
            by_key.entry(command.key.clone()).or_default().push((index, command));
        }
        let mut tasks = JoinSet::new();
        for commands in by_key.into_values() {
            let cluster = self.clone();
            tasks.spawn(async move {
                let mut values = Vec::with_capacity(commands.len());
                for (index, command) in commands {
                    values.push((index, cluster.clone().run(command, wait).await?));
                }
                Ok::<_, RedisError>(values)
            });
        }
        let mut values = Vec::new();
        while let Some(joined) = tasks.join_next().await {
            values.extend(joined.map_err(|_| client_error("a command was cancelled"))??);
        }
        values.sort_unstable_by_key(|(index, _)| *index);
        values.into_iter().map(|(_, value)| parse(value)).collect()
    }

    async fn run(mut self, command: Command, wait: Option<Wait>) -> Result<Value, RedisError> {
        // Never a replica.
        let route = Route::with_key(&command.key, SlotAddr::Master);
        let mut route = SingleNodeRoutingInfo::SpecificNode(route);
        for _ in 0..MAX_REDIRECTIONS {
            let mut pipeline = pipeline(std::slice::from_ref(&command));
            if let Some(wait) = wait {
                pipeline.add_command(wait.cmd());
            }
            let count = pipeline.len();
            let sent = self.connection.route_pipeline(pipeline, 0, count, route).await;
            let error = match sent.and_then(|values| confirmed(without_errors(values)?, wait)) {
                Ok(values) => return first(values),
                Err(error) => error,
            };
            let Some((host, port)) = redirection(&error) else { return Err(error) };
            if error.kind() == ErrorKind::Server(ServerErrorKind::Ask) {
                return self.ask(host, port, &command, wait).await;
            }
            route = SingleNodeRoutingInfo::ByAddress { host, port };
        }
        Err(client_error("a command was redirected too often"))
    }

    /// Runs a command on the node to which its slot is being moved. The client may not know the
    /// node yet, so this opens a connection. It is needed only while slots are moved.
    async fn ask(
        &self,
        host: String,
        port: u16,
        command: &Command,
        wait: Option<Wait>,
    ) -> Result<Value, RedisError> {
        let address = match self.node.addr() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: *insecure,
                tls_params: tls_params.clone(),
            },
            _ => ConnectionAddr::Tcp(host, port),
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.limit))
            .set_response_timeout(Some(self.limit));
        let client = Client::open(self.node.clone().set_addr(address))?;
        let mut node = client.get_multiplexed_async_connection_with_config(&config).await?;
        let mut pipeline = Pipeline::new();
        pipeline.cmd("ASKING").ignore().add_command(command.cmd.clone());
        if let Some(wait) = wait {
            pipeline.add_command(wait.cmd());
        }
        first(confirmed(pipeline.query_async(&mut node).await?, wait)?)
    }
}

impl Wait {
    fn cmd(self) -> Cmd {
        let mut wait = cmd("WAIT");
        let millis = u64::try_from(self.limit.as_millis()).unwrap_or(u64::MAX);
        // Zero would mean without a limit.
        wait.arg(self.replicas).arg(millis.max(1));
        wait
    }
}

fn pipeline(commands: &[Command]) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(commands.len() + 1);
    for command in commands {
        pipeline.add_command(command.cmd.clone());
    }
    pipeline
}

/// Removes the answer to `WAIT`, and returns an error if too few replicas have confirmed.
fn confirmed(mut values: Vec<Value>, wait: Option<Wait>) -> Result<Vec<Value>, RedisError> {
    if let Some(wait) = wait {
        let replicas: u64 = parse(values.pop().unwrap_or(Value::Nil))?;
        if replicas < u64::from(wait.replicas) {
            return Err(client_error("too few replicas have confirmed the write"));
        }
    }
    Ok(values)
}

fn without_errors(values: Vec<Value>) -> Result<Vec<Value>, RedisError> {
    values.into_iter().map(Value::extract_error).collect()
}

fn first(values: Vec<Value>) -> Result<Value, RedisError> {
    values.into_iter().next().ok_or_else(|| client_error("the server returned no value"))
}

fn parse<T: FromRedisValue>(value: Value) -> Result<T, RedisError> {
    Ok(from_redis_value(value)?)
}

fn redirection(error: &RedisError) -> Option<(String, u16)> {
    let (host, port) = error.redirect_node()?.0.rsplit_once(':')?;
    Some((host.to_owned(), port.parse().ok()?))
}

fn client_error(reason: &'static str) -> RedisError {
    (ErrorKind::Client, reason).into()
}
