//! Where logins, revocations, keys and failed attempts are stored.

use std::path::Path;

use tower_auth::store::{Memory, Redis, SealedStore, StoreSecret};

use crate::BoxError;

/// Opens the store: `memory`, or the URL of a Redis or Valkey server.
///
/// The secret of the operator seals the records, and is in a file beside the accounts. It is
/// created if there is none. All instances need the same secret.
pub fn open(store: &str, accounts: &Path) -> Result<SealedStore, BoxError> {
    let mut secret = accounts.as_os_str().to_owned();
    secret.push(".key");
    let secret = StoreSecret::from_file(Path::new(&secret))?;
    Ok(match store {
        "memory" => SealedStore::new(Memory::new(), secret),
        url => SealedStore::new(Redis::builder(url)?.build()?, secret),
    })
}
