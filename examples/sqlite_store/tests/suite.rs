//! The store follows all rules for stores.

use std::time::Duration;

use bytes::Bytes;
use sqlite_store::SqliteStore;
use tempfile::TempDir;
use tower_auth::{
    store::{Purpose, Store, StoreErrorKind, StoreKey, Ttl},
    test_util::StoreSuite,
};

const KEY: [u8; 32] = [7; 32];

#[tokio::test(flavor = "multi_thread")]
async fn store_passes_the_suite() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(folder.path().join("records.db")).unwrap();
    StoreSuite::new(store).run().await;
}

/// As two processes do.
#[tokio::test(flavor = "multi_thread")]
async fn two_stores_on_one_file_pass_the_suite() {
    let folder = TempDir::new().unwrap();
    let open = || SqliteStore::open(folder.path().join("records.db")).unwrap();
    StoreSuite::new(open()).and(open()).run().await;
}

#[tokio::test]
async fn records_survive_a_restart() {
    let folder = TempDir::new().unwrap();
    let open = || SqliteStore::open(folder.path().join("records.db")).unwrap();
    let [record, counter] =
        [Purpose::Revocation, Purpose::Throttle].map(|purpose| StoreKey::new(purpose, KEY));
    let ttl = Ttl::new(Duration::from_secs(600));
    let store = open();
    store.put(&record, Bytes::from_static(b"revoked"), ttl).await.unwrap();
    store.add(&[counter], 2, ttl).await.unwrap();
    drop(store);

    let store = open();
    let found = store.get(&[record]).await.unwrap();
    assert_eq!(found, [Some(Bytes::from_static(b"revoked"))]);
    assert_eq!(store.add(&[counter], 1, ttl).await.unwrap(), [3]);
}

#[tokio::test]
async fn damaged_file_makes_the_store_unavailable() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("records.db");
    let store = SqliteStore::open(&path).unwrap();
    rusqlite::Connection::open(&path).unwrap().execute_batch("DROP TABLE records").unwrap();
    let key = StoreKey::new(Purpose::Revocation, KEY);
    let error = store.get(&[key]).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    std::fs::write(folder.path().join("text"), "not a database, but some text in a file").unwrap();
    assert!(SqliteStore::open(folder.path().join("text")).is_err());
}
