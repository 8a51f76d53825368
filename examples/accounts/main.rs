//! Accounts with password hashes in a database.
//!
//! Run `cargo run -p accounts`, then the `curl` commands that it prints.
//!
//! The store is [SQLite](https://sqlite.org) through rusqlite, which blocks, so the example uses
//! `spawn_blocking`. An asynchronous pool, such as that of sqlx, does not need it. A weak hash is
//! replaced at the next login. Until then, the duration of a check reveals which accounts have one.

use std::{
    error::Error,
    sync::{Arc, Mutex},
};

use axum::{Router, routing::get};
use rusqlite::{Connection, OptionalExtension as _};
use tokio::{net::TcpListener, task::spawn_blocking};
use tower_auth::{
    AuthenticateLayer, BasicAuth, Principal, Scheme,
    password::{HashVerifier, PasswordHash, StoredUser, UserStore},
};

type BoxError = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let accounts = Accounts::open()?;
    // A bcrypt hash of "battery staple" with a cost of 5, which is too low today.
    let old = "$2y$05$dlMokCRyXD9SjsfMWwXoPuy1kFOiGWE3h4Vkre6YuVJjGCLeWfvhW";
    accounts.store("alice", PasswordHash::new("correct horse")?.as_str(), "read write")?;
    accounts.store("bob", old, "read")?;

    let staff = BasicAuth::new("accounts", HashVerifier::new(accounts).renew_hashes())?;
    let app = Router::new()
        .route("/", get(async |caller: Principal| format!("hello {}\n", caller.subject())))
        .layer(AuthenticateLayer::new(staff));
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".into());
    let listener = TcpListener::bind(address).await?;
    let url = format!("http://{}", listener.local_addr()?);
    println!("listening on {url}");
    println!("curl -i -u 'alice:correct horse' {url}/ # 200");
    println!("curl -i -u 'bob:battery staple' {url}/ # 200");
    println!("curl -i -u 'bob:guess' {url}/ # 401");
    println!("curl -i -u 'nobody:guess' {url}/ # 401");
    Ok(axum::serve(listener, app).await?)
}

/// A table of user ids, hashes and scopes.
#[derive(Clone)]
struct Accounts(Arc<Mutex<Connection>>);

impl Accounts {
    fn open() -> Result<Self, BoxError> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(
            "CREATE TABLE accounts (user_id TEXT PRIMARY KEY, hash TEXT NOT NULL, scopes TEXT NOT NULL)",
        )?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    fn store(&self, user_id: &str, hash: &str, scopes: &str) -> Result<(), BoxError> {
        let insert = "INSERT OR REPLACE INTO accounts VALUES (?1, ?2, ?3)";
        self.0.lock().unwrap().execute(insert, (user_id, hash, scopes))?;
        Ok(())
    }

    fn select(&self, user_id: &str) -> Result<Option<StoredUser>, BoxError> {
        let select = "SELECT hash, scopes FROM accounts WHERE user_id = ?1";
        let row = self.0.lock().unwrap().query_row(select, [user_id], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        });
        let Some((hash, scopes)) = row.optional()? else { return Ok(None) };
        let principal =
            Principal::builder(user_id, Scheme::BASIC).scopes(scopes.split(' ')).build();
        Ok(Some(match PasswordHash::parse(&hash) {
            Ok(hash) => StoredUser::with(principal, hash),
            Err(error) => {
                eprintln!("{user_id}: {error:#}");
                StoredUser::locked(user_id)
            }
        }))
    }

    /// Replaces a hash, unless the password was changed meanwhile.
    fn replace(&self, user_id: &str, old: &str, new: &str) -> Result<bool, BoxError> {
        let update = "UPDATE accounts SET hash = ?3 WHERE user_id = ?1 AND hash = ?2";
        let count = self.0.lock().unwrap().execute(update, (user_id, old, new))?;
        println!("{count} new hash for {user_id}");
        Ok(count == 1)
    }
}

impl UserStore for Accounts {
    async fn find(&self, user_id: &str) -> Result<Option<StoredUser>, BoxError> {
        let (accounts, user_id) = (self.clone(), user_id.to_owned());
        spawn_blocking(move || accounts.select(&user_id)).await?
    }

    async fn replace_hash(
        &self,
        user_id: &str,
        old: &PasswordHash,
        new: PasswordHash,
    ) -> Result<bool, BoxError> {
        let (accounts, user_id, old) = (self.clone(), user_id.to_owned(), old.clone());
        spawn_blocking(move || accounts.replace(&user_id, old.as_str(), new.as_str())).await?
    }
}
