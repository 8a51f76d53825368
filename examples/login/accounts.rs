//! Accounts: the names of users and the hashes of their passwords.

use rusqlite::OptionalExtension as _;
use tower_auth::{
    basic::BasicCredentials,
    password::{PasswordHash, StoredUser, UserStore},
};

use crate::{BoxError, database::Database};

/// The accounts in a database.
#[derive(Clone)]
pub struct Accounts(Database);

const INSERT: &str = "INSERT INTO accounts VALUES (?1, ?2) ON CONFLICT DO NOTHING";
const SELECT: &str = "SELECT hash FROM accounts WHERE name = ?1";
const REPLACE: &str = "UPDATE accounts SET hash = ?3 WHERE name = ?1 AND hash = ?2";
const DELETE: &str = "DELETE FROM accounts WHERE name = ?1";
const DELETE_KEYS: &str = "DELETE FROM api_keys WHERE owner = ?1";

impl Accounts {
    pub fn new(database: Database) -> Self {
        Self(database)
    }

    /// Adds an account. Returns an error if the name exists. Blocks.
    pub fn register(&self, name: &str, password: &str) -> Result<(), BoxError> {
        if name.is_empty() || password.is_empty() {
            return Err("the name and the password must not be empty".into());
        }
        // Nobody could log in with other ones.
        BasicCredentials::new(name, password)?;
        let hash = PasswordHash::new(password)?;
        self.0.transaction(|transaction| {
            if transaction.execute(INSERT, (name, hash.as_str()))? == 0 {
                return Err(format!("the name {name} exists already").into());
            }
            // An account that was removed may have had this name, and its keys must not become
            // valid again.
            transaction.execute(DELETE_KEYS, [name])?;
            Ok(())
        })
    }

    /// Removes an account, whose API keys are rejected from now on. Returns an error if there is
    /// none. Blocks.
    pub fn remove(&self, name: &str) -> Result<(), BoxError> {
        match self.0.call(|connection| connection.execute(DELETE, [name]))? {
            0 => Err(format!("there is no account {name}").into()),
            _ => Ok(()),
        }
    }

    /// Returns whether an account still exists.
    pub async fn contains(&self, name: String) -> Result<bool, BoxError> {
        self.0.on_blocking_thread(move |database| Ok(select(database, &name)?.is_some())).await
    }
}

fn select(database: &Database, name: &str) -> rusqlite::Result<Option<String>> {
    database.call(|connection| {
        connection.prepare_cached(SELECT)?.query_row([name], |row| row.get(0)).optional()
    })
}

/// Finds the hash that a password is checked against, and replaces a weak one.
impl UserStore for Accounts {
    async fn find(&self, user_id: &str) -> Result<Option<StoredUser>, BoxError> {
        let name = user_id.to_owned();
        self.0
            .on_blocking_thread(move |database| {
                let Some(hash) = select(database, &name)? else { return Ok(None) };
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
        self.0
            .on_blocking_thread(move |database| {
                let row = (&*name, old.as_str(), new.as_str());
                Ok(database.call(|connection| connection.execute(REPLACE, row))? == 1)
            })
            .await
    }
}
