//! API keys in the database: the hashes that requests are checked against.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{ErrorCode, OptionalExtension as _, Row, params};
use tower_auth::{
    Scopes,
    api_key::{ApiKeyFuture, ApiKeyInfo, ApiKeyStore, Inserted, StoredApiKey},
};

use crate::{BoxError, database::Database};

/// The API keys in a database.
pub struct StoredKeys(Database);

const FIND: &str = "SELECT * FROM api_keys WHERE id = ?1";
const LIST: &str = "SELECT * FROM api_keys WHERE owner = ?1 ORDER BY created_at, id";
const COUNT_LIVE: &str = "SELECT count(*) FROM api_keys \
    WHERE owner = ?1 AND revoked_at IS NULL AND expires_at > ?2";
const INSERT: &str = "INSERT INTO api_keys \
    (id, digest, owner, name, scopes, created_at, expires_at, revoked_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
/// Deletes the keys that ended first, so that a user who creates and revokes keys does not fill the
/// disk.
const DELETE_ENDED: &str = "DELETE FROM api_keys WHERE id IN ( \
    SELECT id FROM api_keys WHERE owner = ?1 AND (revoked_at IS NOT NULL OR expires_at <= ?2) \
    ORDER BY min(expires_at, ifnull(revoked_at, expires_at)) DESC LIMIT -1 OFFSET ?3)";
const REVOKE: &str = "UPDATE api_keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL";
const EXPIRE: &str = "UPDATE api_keys SET expires_at = ?2 WHERE id = ?1 AND expires_at > ?2";

impl StoredKeys {
    pub fn new(database: Database) -> Self {
        Self(database)
    }

    fn later<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, BoxError> + Send + 'static,
    ) -> ApiKeyFuture<T> {
        let database = self.0.clone();
        ApiKeyFuture::pending(async move { database.on_blocking_thread(work).await })
    }

    /// Sets a time of a key. Returns whether it has changed.
    fn set_time(&self, update: &'static str, id: &str, at: SystemTime) -> ApiKeyFuture<bool> {
        let id = id.to_owned();
        self.later(move |database| {
            let changed = database.call(|connection| {
                connection.prepare_cached(update)?.execute(params![id, to_millis(at)])
            })?;
            Ok(changed == 1)
        })
    }
}

impl ApiKeyStore for StoredKeys {
    fn find(&self, id: &str) -> ApiKeyFuture<Option<StoredApiKey>> {
        let id = id.to_owned();
        self.later(move |database| {
            let found = database.call(|connection| {
                connection.prepare_cached(FIND)?.query_row([id], read).optional()
            });
            Ok(found?)
        })
    }

    fn insert(&self, key: StoredApiKey, most: usize) -> ApiKeyFuture<Inserted> {
        self.later(move |database| {
            let most = i64::try_from(most)?;
            let StoredApiKey { info, digest } = key;
            let now = to_millis(info.created_at);
            database.transaction(|transaction| {
                let live: i64 =
                    transaction
                        .query_row(COUNT_LIVE, params![info.owner, now], |row| row.get(0))?;
                if live >= most {
                    return Ok(Inserted::TooMany);
                }
                let row = params![
                    info.id,
                    digest,
                    info.owner,
                    info.name,
                    info.scopes.iter().collect::<Vec<_>>().join(" "),
                    now,
                    to_millis(info.expires_at),
                    info.revoked_at.map(to_millis),
                ];
                match transaction.execute(INSERT, row) {
                    Ok(_) => {}
                    Err(error)
                        if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) =>
                    {
                        return Ok(Inserted::IdExists);
                    }
                    Err(error) => return Err(error.into()),
                }
                transaction.execute(DELETE_ENDED, params![info.owner, now, most])?;
                Ok(Inserted::Stored)
            })
        })
    }

    fn list(&self, owner: &str) -> ApiKeyFuture<Vec<StoredApiKey>> {
        let owner = owner.to_owned();
        self.later(move |database| {
            let keys: rusqlite::Result<_> = database.call(|connection| {
                connection.prepare_cached(LIST)?.query_map([owner], read)?.collect()
            });
            Ok(keys?)
        })
    }

    fn revoke(&self, id: &str, at: SystemTime) -> ApiKeyFuture<bool> {
        self.set_time(REVOKE, id, at)
    }

    fn expire(&self, id: &str, at: SystemTime) -> ApiKeyFuture<()> {
        self.set_time(EXPIRE, id, at).map(|changed| changed.map(drop))
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<StoredApiKey> {
    let text = |column| row.get::<_, String>(column);
    let time = |column| row.get(column).map(from_millis);
    let info = ApiKeyInfo {
        id: text("id")?.into(),
        owner: text("owner")?.into(),
        name: text("name")?.into(),
        scopes: Scopes::from_delimited(&text("scopes")?),
        created_at: time("created_at")?,
        expires_at: time("expires_at")?,
        revoked_at: row.get::<_, Option<_>>("revoked_at")?.map(from_millis),
    };
    Ok(StoredApiKey { info, digest: row.get("digest")? })
}

fn to_millis(time: SystemTime) -> i64 {
    let millis = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    i64::try_from(millis).unwrap_or(i64::MAX)
}

fn from_millis(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis.try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tempfile::TempDir;
    use tower_auth::test_util::check_api_key_store;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn key(id: &str, owner: &str) -> StoredApiKey {
        let info = ApiKeyInfo {
            id: id.into(),
            owner: owner.into(),
            name: "".into(),
            scopes: Scopes::default(),
            created_at: at(10),
            expires_at: at(100),
            revoked_at: None,
        };
        StoredApiKey { info, digest: [7; 32] }
    }

    /// Returns stores of two processes with one file.
    fn stores() -> (TempDir, [StoredKeys; 2]) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("accounts.db");
        let open = |()| StoredKeys::new(Database::open(&file).unwrap());
        let stores = [(); 2].map(open);
        (folder, stores)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn store_follows_the_rules() {
        let (_folder, [store, _]) = stores();
        check_api_key_store(store).await;
    }

    #[tokio::test]
    async fn ended_keys_do_not_count_and_the_oldest_are_deleted() {
        let (_folder, [one, two]) = stores();
        for number in 0..10 {
            let id = format!("k{number}");
            let mut next = key(&id, "alice");
            next.info.created_at = at(10 + number);
            assert_eq!(one.insert(next, 2).await.unwrap(), Inserted::Stored);
            two.revoke(&id, at(10 + number)).await.unwrap();
        }
        one.insert(key("other", "bob"), 2).await.unwrap();
        let ids = |keys: Vec<StoredApiKey>| keys.into_iter().map(|key| key.info.id.to_string());
        let kept: Vec<_> = ids(one.list("alice").await.unwrap()).collect();
        assert_eq!(kept, ["k7", "k8", "k9"]);
        assert!(one.find("other").await.unwrap().is_some());
    }

    #[test]
    fn concurrent_inserts_stop_at_the_limit() {
        let (_folder, stores) = stores();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let inserted: Vec<_> = thread::scope(|scope| {
            let insert = |index: usize| {
                let (store, handle) = (&stores[index % 2], runtime.handle());
                let key = key(&index.to_string(), "alice");
                scope.spawn(move || handle.block_on(store.insert(key, 5)).unwrap())
            };
            let threads: Vec<_> = (0..64).map(insert).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let stored = inserted.iter().filter(|result| **result == Inserted::Stored).count();
        assert_eq!(stored, 5, "{inserted:?}");
        assert_eq!(inserted.iter().filter(|result| **result == Inserted::TooMany).count(), 59);
    }
}
