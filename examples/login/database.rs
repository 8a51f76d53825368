//! The SQLite file of the accounts and their API keys.
//!
//! [SQLite](https://sqlite.org) blocks, so the service calls it on threads that may block. An
//! asynchronous pool, such as that of sqlx, does not need them.

use std::{
    fs::OpenOptions,
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::task::spawn_blocking;
use tower_auth::password::PasswordHash;

use crate::BoxError;

/// A connection to the file, which several processes can use. Clones share it.
#[derive(Clone)]
pub struct Database(Arc<Mutex<Connection>>);

const ACCOUNTS: &str = "CREATE TABLE accounts (name TEXT PRIMARY KEY, hash TEXT NOT NULL) STRICT";
const API_KEYS: &str = include_str!("api_keys.sql");
const ALICE: &str = "INSERT INTO accounts VALUES ('alice', ?1)";
const IS_NEW: &str = "SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?1)";

impl Database {
    /// Opens a file. A new file gets the account of alice.
    pub fn open(path: &Path) -> Result<Self, BoxError> {
        Self::open_file(path).map_err(|error| format!("{}: {error}", path.display()).into())
    }

    fn open_file(path: &Path) -> Result<Self, BoxError> {
        create_private(path)?;
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(5))?; // for other processes
        let database = Self(Arc::new(Mutex::new(connection)));
        // If several processes start at the same time, one of them creates the tables.
        database.transaction(|transaction| {
            // Not `table_exists`, which does not see a table that another process has just created.
            let is_new = |table| transaction.query_row(IS_NEW, [table], |row| row.get(0));
            if is_new("accounts")? {
                transaction.execute_batch(ACCOUNTS)?;
                let hash = PasswordHash::new("correct horse")?;
                transaction.execute(ALICE, [hash.as_str()])?;
            }
            // A file of an earlier version has accounts only.
            if is_new("api_keys")? {
                transaction.execute_batch(API_KEYS)?;
            }
            Ok(())
        })?;
        Ok(database)
    }

    /// Runs one statement or query. Blocks.
    pub fn call<T>(&self, work: impl FnOnce(&Connection) -> T) -> T {
        work(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs several statements, all or none of which take effect. Other processes wait until the
    /// end, so what the statements have read is still true then. Blocks.
    pub fn transaction<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, BoxError>,
    ) -> Result<T, BoxError> {
        let mut connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = work(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }

    /// Runs something that blocks.
    pub async fn on_blocking_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, BoxError> + Send + 'static,
    ) -> Result<T, BoxError> {
        let database = self.clone();
        spawn_blocking(move || work(&database)).await?
    }
}

/// Creates the file if there is none, so that only its owner can read the hashes. SQLite gives the
/// files that it creates beside it the same permissions.
fn create_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}
