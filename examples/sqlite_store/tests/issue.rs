//! Processes that issue tokens share a file.

use std::sync::Arc;

use sqlite_store::SqliteStore;
use tempfile::TempDir;
use tower_auth::store::Store;
use tower_auth_test_support::issuer_processes::{assert_processes_share_logins, run_child};

fn open(path: &str) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(path).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_share_logins_and_survive_an_abrupt_end_and_a_restart() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("records.db");
    assert_processes_share_logins("child_process", path.to_str().unwrap(), open).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn child_process() {
    run_child(open).await;
}
