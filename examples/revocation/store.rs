//! The store that both servers use.

use std::{error::Error, path::Path};

use tower_auth::store::{Redis, SealedStore, StoreSecret};

/// Opens the store: `memory`, or the URL of a Redis or Valkey server.
pub fn open(store: &str, secret_file: Option<&Path>) -> Result<SealedStore, Box<dyn Error>> {
    if store == "memory" {
        return Ok(SealedStore::memory());
    }
    // Seals the records. All processes need the same secret. It is created if there is none.
    let secret_file = secret_file.ok_or(
        "no secret for the store: pass --secret-file PATH, or set STORE_SECRET_FILE. The file is \
         created on first use. All processes that share the store need the same file",
    )?;
    let redis = Redis::builder(store)?.build()?;
    Ok(SealedStore::new(redis, StoreSecret::from_file(secret_file)?))
}
