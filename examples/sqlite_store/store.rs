//! A store in one SQLite file, for the services of one machine.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use tower_auth::store::{Store, StoreError, StoreErrorKind, StoreFuture, StoreKey, Ttl};

/// Keeps records in one SQLite file, so that all services that open it share them. They survive
/// restarts. A write that withdraws access, such as a logout, also survives a power failure.
#[derive(Clone, Debug)]
pub struct SqliteStore(Arc<Mutex<Connection>>);

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS records (key TEXT PRIMARY KEY, value BLOB, expires_at INTEGER);
    CREATE INDEX IF NOT EXISTS records_by_expiry ON records (expires_at);";
const SELECT: &str = "SELECT value, expires_at FROM records WHERE key = ?1 AND expires_at >= ?2";
const WRITE: &str = "INSERT OR REPLACE INTO records VALUES (?1, ?2, ?3)";
/// Each write removes up to ten records that have expired.
const DELETE_EXPIRED: &str = "DELETE FROM records WHERE key IN
    (SELECT key FROM records WHERE expires_at < ?1 ORDER BY expires_at LIMIT 10)";

impl SqliteStore {
    /// Opens a file, or creates it. Returns an error if it is not a database.
    pub fn open(path: impl AsRef<std::path::Path>) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(5))?; // for other processes
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// Runs a transaction on a thread that may block.
    fn run<T: Send + 'static>(
        &self,
        behavior: TransactionBehavior,
        keys: &[StoreKey],
        work: impl FnOnce(&Records<'_>, &[StoreKey]) -> rusqlite::Result<T> + Send + 'static,
    ) -> StoreFuture<T> {
        let (connection, keys) = (self.0.clone(), keys.to_vec());
        let run = move || {
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let is_durable = keys.iter().any(StoreKey::withdraws_access);
            connection.pragma_update(None, "synchronous", if is_durable { 2 } else { 1 })?;
            let transaction = connection.transaction_with_behavior(behavior)?;
            let now = UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
            let now = u64::try_from(now).unwrap_or(0);
            let result = work(&Records { transaction: &transaction, now }, &keys)?;
            transaction.commit().map(|()| result)
        };
        StoreFuture::pending(async move {
            let stopped = |error| StoreError::new(StoreErrorKind::Unavailable).with_source(error);
            tokio::task::spawn_blocking(run).await.map_err(stopped)?.map_err(store_error)
        })
    }

    /// Writes a record if the current value is the expected one.
    fn write_if(
        &self,
        (key, value, ttl): (&StoreKey, Bytes, Ttl),
        is_expected: impl FnOnce(Option<&[u8]>) -> bool + Send + 'static,
    ) -> StoreFuture<bool> {
        self.run(TransactionBehavior::Immediate, &[*key], move |records, keys| {
            let found = records.get(&keys[0])?;
            let is_expected = is_expected(found.as_ref().map(|(value, _)| &**value));
            if is_expected {
                records.put(&keys[0], &value, records.now + ttl.as_millis())?;
            }
            Ok(is_expected)
        })
    }
}

struct Records<'a> {
    transaction: &'a Transaction<'a>,
    /// In milliseconds since 1970, like all expiries.
    now: u64,
}

impl Records<'_> {
    /// Returns the value of a record and when it expires.
    fn get(&self, key: &StoreKey) -> rusqlite::Result<Option<(Vec<u8>, u64)>> {
        let mut select = self.transaction.prepare_cached(SELECT)?;
        select.query_row(params![key.to_string(), self.now], |row| row.try_into()).optional()
    }

    fn put(&self, key: &StoreKey, value: &[u8], expires_at: u64) -> rusqlite::Result<usize> {
        self.transaction.prepare_cached(DELETE_EXPIRED)?.execute([self.now])?;
        let record = params![key.to_string(), value, expires_at];
        self.transaction.prepare_cached(WRITE)?.execute(record)
    }

    fn add(&self, key: &StoreKey, delta: i64, ttl: Ttl) -> rusqlite::Result<i64> {
        let (value, end) = self.get(key)?.unwrap_or((b"0".into(), self.now + ttl.as_millis()));
        let count = str::from_utf8(&value).ok().and_then(|text| text.parse::<i64>().ok());
        let count = count
            .and_then(|count| count.checked_add(delta))
            .ok_or(rusqlite::Error::InvalidQuery)?;
        self.put(key, count.to_string().as_bytes(), end).map(|_| count)
    }
}

impl Store for SqliteStore {
    fn get(&self, keys: &[StoreKey]) -> StoreFuture<Vec<Option<Bytes>>> {
        self.run(TransactionBehavior::Deferred, keys, |records, keys| {
            keys.iter().map(|key| Ok(records.get(key)?.map(|(value, _)| value.into()))).collect()
        })
    }

    fn put(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<()> {
        self.write_if((key, value, ttl), |_| true).map(|result| result.map(|_| ()))
    }

    fn insert(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        self.write_if((key, value, ttl), |found| found.is_none())
    }

    fn replace(&self, key: &StoreKey, current: Bytes, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        self.write_if((key, value, ttl), move |found| found == Some(&current))
    }

    fn add(&self, keys: &[StoreKey], delta: i64, ttl: Ttl) -> StoreFuture<Vec<i64>> {
        self.run(TransactionBehavior::Immediate, keys, move |records, keys| {
            keys.iter().map(|key| records.add(key, delta, ttl)).collect()
        })
    }

    fn take(&self, key: &StoreKey) -> StoreFuture<Option<Bytes>> {
        self.run(TransactionBehavior::Immediate, &[*key], |records, keys| {
            let found = records.get(&keys[0])?;
            let delete = "DELETE FROM records WHERE key = ?1";
            records.transaction.execute(delete, [keys[0].to_string()])?;
            Ok(found.map(|(value, _)| value.into()))
        })
    }

    fn now(&self) -> StoreFuture<SystemTime> {
        StoreFuture::ready(Ok(SystemTime::now()))
    }
}

fn store_error(error: rusqlite::Error) -> StoreError {
    let kind = match (&error, error.sqlite_error_code()) {
        (rusqlite::Error::InvalidQuery, _) => StoreErrorKind::Unreadable,
        (_, Some(rusqlite::ErrorCode::DiskFull)) => StoreErrorKind::Full,
        _ => StoreErrorKind::Unavailable,
    };
    StoreError::new(kind).with_source(error)
}
