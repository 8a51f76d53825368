//! Accounts in a SQLite file.
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

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};
use tokio::task::spawn_blocking;
use tower_auth::{
    basic::BasicCredentials,
    password::{PasswordHash, StoredUser, UserStore},
};

use crate::BoxError;

/// The names of users and the hashes of their passwords.
#[derive(Clone)]
pub struct Accounts(Arc<Mutex<Connection>>);

const SCHEMA: &str = "CREATE TABLE accounts (name TEXT PRIMARY KEY, hash TEXT NOT NULL) STRICT";
const IS_NEW: &str = "SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'accounts')";
const INSERT: &str = "INSERT INTO accounts VALUES (?1, ?2) ON CONFLICT DO NOTHING";
const SELECT: &str = "SELECT hash FROM accounts WHERE name = ?1";
const REPLACE: &str = "UPDATE accounts SET hash = ?3 WHERE name = ?1 AND hash = ?2";

impl Accounts {
    /// Opens a file. A new file gets the account of alice.
    pub fn open(path: &Path) -> Result<Self, BoxError> {
        Self::open_file(path).map_err(|error| format!("{}: {error}", path.display()).into())
    }

    fn open_file(path: &Path) -> Result<Self, BoxError> {
        create_private(path)?;
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(5))?; // for other processes
        // If several processes start at the same time, one of them creates the table.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Not `table_exists`, which does not see a table that another process has just created.
        if transaction.query_row(IS_NEW, [], |row| row.get(0))? {
            transaction.execute_batch(SCHEMA)?;
            let hash = PasswordHash::new("correct horse")?;
            transaction.execute(INSERT, ("alice", hash.as_str()))?;
        }
        transaction.commit()?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// Adds an account. Returns an error if the name exists. Blocks.
    pub fn register(&self, name: &str, password: &str) -> Result<(), BoxError> {
        if name.is_empty() || password.is_empty() {
            return Err("the name and the password must not be empty".into());
        }
        // Nobody could log in with other ones.
        BasicCredentials::new(name, password)?;
        let hash = PasswordHash::new(password)?;
        match self.call(|connection| connection.execute(INSERT, (name, hash.as_str())))? {
            0 => Err(format!("the name {name} exists already").into()),
            _ => Ok(()),
        }
    }

    /// Returns whether an account still exists.
    pub async fn contains(&self, name: String) -> Result<bool, BoxError> {
        self.on_blocking_thread(move |accounts| Ok(accounts.select(&name)?.is_some())).await
    }

    fn select(&self, name: &str) -> rusqlite::Result<Option<String>> {
        self.call(|connection| {
            connection.prepare_cached(SELECT)?.query_row([name], |row| row.get(0)).optional()
        })
    }

    async fn on_blocking_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, BoxError> + Send + 'static,
    ) -> Result<T, BoxError> {
        let accounts = self.clone();
        spawn_blocking(move || work(&accounts)).await?
    }

    fn call<T>(&self, work: impl FnOnce(&Connection) -> T) -> T {
        work(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Finds the hash that a password is checked against, and replaces a weak one.
impl UserStore for Accounts {
    async fn find(&self, user_id: &str) -> Result<Option<StoredUser>, BoxError> {
        let name = user_id.to_owned();
        self.on_blocking_thread(move |accounts| {
            let Some(hash) = accounts.select(&name)? else { return Ok(None) };
            Ok(Some(match PasswordHash::parse(&hash) {
                Ok(hash) => StoredUser::new(&name, hash),
                Err(error) => {
                    tracing::error!(name, "the hash of an account is not readable: {error}");
                    StoredUser::locked(&name)
                }
            }))
        })
        .await
    }

    async fn replace_hash(
        &self,
        user_id: &str,
        old: &PasswordHash,
        new: PasswordHash,
    ) -> Result<bool, BoxError> {
        let (name, old) = (user_id.to_owned(), old.clone());
        self.on_blocking_thread(move |accounts| {
            let row = (&*name, old.as_str(), new.as_str());
            Ok(accounts.call(|connection| connection.execute(REPLACE, row))? == 1)
        })
        .await
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
