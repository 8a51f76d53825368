use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use redis::{ErrorKind, FromRedisValue, RedisError};

use super::{builder::RedisBuilder, command::Command, connection::Wait, link::Link};
use crate::{
    config_error::ConfigError,
    store::{
        key::StoreKey,
        store::{Store, StoreFuture},
        ttl::Ttl,
    },
};

/// Keeps records in Redis 7.0 or later, or in Valkey.
///
/// ```
/// use tower_auth::store::{Redis, SealedStore, StoreSecret};
///
/// let redis = Redis::builder("redis://127.0.0.1:6379")?.build()?;
/// # let key = *b"0123456789abcdefghijklmnopqrstuv";
/// let store = SealedStore::new(redis, StoreSecret::new(key)?);
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
///
/// Building it does not connect. It connects when it is used first, and again when it is used after
/// the connection was lost. Clones share one connection, or two with
/// [`durable`](RedisBuilder::durable). They can be used in several Tokio runtimes, for example in
/// tests.
///
/// # Server
///
/// - Set `maxmemory-policy noeviction`, which is the default of Redis. With another policy, the
///   server discards revocations when its memory is full, and
///   [`Event::StoreMayEvict`](crate::observe::Event::StoreMayEvict) is reported. If the memory is
///   full, writes fail as [`Full`](crate::store::StoreErrorKind::Full).
/// - Set `appendonly yes`, so that a restart keeps the records. With the default
///   `appendfsync everysec`, a crash of the machine can lose the writes of the last second or two;
///   with `always`, none.
/// - With replicas, replication is asynchronous: a failover can lose the last writes. Use
///   [`durable`](RedisBuilder::durable) so that a logout is confirmed only after a replica has
///   received it. Set `min-replicas-to-write 1` and `min-replicas-max-lag 10`, so that a server
///   that was cut off from its replicas soon accepts no writes. Reads use the primary server only.
/// - The server needs its own clock to be right. Instances use it as the common clock.
///
/// If a user of the server has limited rights, it needs:
///
/// ```text
/// ACL SETUSER tower-auth on >PASSWORD resetchannels ~tower-auth:* -@all
///     +get +set +getdel +incrby +eval +eval_ro +time +info +select +wait
/// ```
///
/// `+select` is needed for another database than 0, and `+wait` with `durable`. `+info` is used to
/// notice that the server has become a replica, and to read the `maxmemory-policy`. Add `+role`
/// with sentinels, and `+cluster|slots +asking +ping` in a cluster.
///
/// # Outages
///
/// An operation ends within the [timeout](RedisBuilder::timeout), which includes connecting. It is
/// never sent again: if the connection breaks after it was sent, it fails as
/// [`Unavailable`](crate::store::StoreErrorKind::Unavailable), and it is unknown whether it took
/// effect. A paused server can execute it later. Attempts to connect are at most half a second
/// apart; between them, operations fail at once. At most 4,096 operations wait for the server, and
/// others fail at once.
///
/// # Security
///
/// Keys and values are protected by the [`StoreSecret`](crate::store::StoreSecret): the server, and
/// a person who reads the traffic, learn neither subjects nor claims. An attacker who can change
/// the traffic, or who can write to the server, can still remove and restore records and so undo
/// a logout. Use `rediss://` (TLS) and a password outside of a trusted network. Certificates are
/// always verified, against the roots of the system or
/// [`root_certificate`](RedisBuilder::root_certificate). TLS uses the default provider of rustls,
/// and installs aws-lc-rs if the process has none when the store connects.
#[derive(Clone)]
pub struct Redis(Arc<Shared>);

struct Shared {
    link: Arc<Link>,
    durable: Option<Durable>,
    prefix: String,
    limit: Duration,
}

/// The connection for writes that replicas have to confirm. `WAIT` blocks a connection.
pub(super) struct Durable {
    pub(super) link: Arc<Link>,
    pub(super) replicas: u16,
}

impl Redis {
    /// Uses one server.
    ///
    /// The URL is `redis://[user:password@]host[:port][/database]`, with `rediss` for TLS, or
    /// `unix:///path` for a Unix socket, with `?db=`, `user=` and `pass=`. `valkey` and `valkeys`
    /// are the same as `redis` and `rediss`. Special characters in the password are
    /// percent-encoded.
    ///
    /// # Errors
    ///
    /// Returns an error if the URL is invalid. The error does not repeat it.
    pub fn builder(url: impl AsRef<str>) -> Result<RedisBuilder, ConfigError> {
        RedisBuilder::node(url.as_ref())
    }

    /// Uses a cluster. Pass the URLs of some nodes, with the same user and password; the others are
    /// found.
    ///
    /// A [`get`](Store::get) of several keys is several commands, because the keys are on several
    /// nodes. If the prefix has a hash tag, such as `{auth}`, they are on one node.
    ///
    /// # Security
    ///
    /// Use such a prefix for revocations. Otherwise, they are on all nodes, and if only one node
    /// loses records, for example by a failover, this is not detected unless it has the records of
    /// the epoch or its counter.
    ///
    /// # Errors
    ///
    /// Returns an error if a URL is invalid or they contradict each other.
    ///
    /// ```
    /// use tower_auth::store::Redis;
    ///
    /// let redis = Redis::cluster(["redis://10.0.0.1", "redis://10.0.0.2"])?.build()?;
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    pub fn cluster(
        urls: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<RedisBuilder, ConfigError> {
        RedisBuilder::cluster(urls)
    }

    /// Uses the primary server of a service that sentinels watch.
    ///
    /// Pass the URLs of the sentinels. The user, the password and TLS apply to the sentinels and to
    /// the servers. The database applies to the servers. A sentinel without a password accepts any.
    ///
    /// # Errors
    ///
    /// Returns an error if a URL is invalid or they contradict each other.
    ///
    /// ```
    /// use tower_auth::store::Redis;
    ///
    /// let sentinels = ["redis://10.0.0.1:26379", "redis://10.0.0.2:26379"];
    /// let redis = Redis::sentinel("auth", sentinels)?.build()?;
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    pub fn sentinel(
        service: impl Into<String>,
        urls: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<RedisBuilder, ConfigError> {
        RedisBuilder::sentinel(service.into(), urls)
    }

    pub(super) fn new(
        link: Arc<Link>,
        durable: Option<Durable>,
        prefix: String,
        limit: Duration,
    ) -> Self {
        Self(Arc::new(Shared { link, durable, prefix, limit }))
    }

    fn name(&self, key: &StoreKey) -> String {
        format!("{}:{key}", self.0.prefix)
    }

    fn write_all<T, U>(
        &self,
        keys: &[StoreKey],
        commands: Vec<Command>,
        convert: impl FnOnce(Vec<T>) -> Result<U, RedisError> + Send + 'static,
    ) -> StoreFuture<U>
    where
        T: FromRedisValue + Send + 'static,
        U: Send + 'static,
    {
        let withdraws_access = keys.iter().any(StoreKey::withdraws_access);
        let durable = self.0.durable.as_ref().filter(|_| withdraws_access);
        let (link, wait) = match durable {
            Some(Durable { link, replicas }) => {
                let limit = self.0.limit.mul_f32(0.75);
                (link, Some(Wait { replicas: *replicas, limit }))
            }
            None => (&self.0.link, None),
        };
        link.run(move |session| async move {
            convert(session.connection.clone().write(commands, wait).await?)
        })
    }

    fn write<T: FromRedisValue + Send + 'static>(
        &self,
        key: &StoreKey,
        command: Command,
    ) -> StoreFuture<T> {
        self.write_all(&[*key], vec![command], |values: Vec<T>| {
            values.into_iter().next().ok_or_else(|| unexpected("the server returned no value"))
        })
    }
}

impl Store for Redis {
    fn get(&self, keys: &[StoreKey]) -> StoreFuture<Vec<Option<Bytes>>> {
        let commands = keys.iter().map(|key| Command::get(self.name(key))).collect();
        self.0.link.run(move |session| async move {
            let values = session.connection.clone().read::<Option<Vec<u8>>>(commands).await?;
            Ok(values.into_iter().map(|value| value.map(Bytes::from)).collect())
        })
    }

    fn put(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<()> {
        self.write(key, Command::put(self.name(key), &value, ttl))
    }

    fn insert(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        // `OK`, or nothing if there is a record.
        self.write::<Option<String>>(key, Command::insert(self.name(key), &value, ttl))
            .map(|inserted| Ok(inserted?.is_some()))
    }

    fn replace(&self, key: &StoreKey, current: Bytes, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        self.write(key, Command::replace(self.name(key), &current, &value, ttl))
    }

    fn add(&self, keys: &[StoreKey], delta: i64, ttl: Ttl) -> StoreFuture<Vec<i64>> {
        if keys.is_empty() {
            return StoreFuture::ready(Ok(Vec::new()));
        }
        let commands = keys.iter().map(|key| Command::add(self.name(key), delta, ttl)).collect();
        self.write_all(keys, commands, |counts: Vec<String>| {
            let count = |text: String| text.parse().map_err(|_| unexpected("invalid count"));
            counts.into_iter().map(count).collect()
        })
    }

    fn take(&self, key: &StoreKey) -> StoreFuture<Option<Bytes>> {
        self.write::<Option<Vec<u8>>>(key, Command::take(self.name(key)))
            .map(|value| Ok(value?.map(Bytes::from)))
    }

    fn now(&self) -> StoreFuture<SystemTime> {
        self.0.link.time()
    }
}

fn unexpected(reason: &'static str) -> RedisError {
    (ErrorKind::UnexpectedReturnType, reason).into()
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("prefix", &self.0.prefix).finish_non_exhaustive()
    }
}

impl fmt::Debug for RedisBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBuilder").finish_non_exhaustive()
    }
}
