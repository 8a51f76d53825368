//! Processes that share a Redis server.

use std::sync::Arc;

use tower_auth::{
    clock::SystemClock,
    store::{Redis, SealedStore, Store, StoreSecret},
};
use tower_auth_test_support::{
    issuer_processes::{assert_processes_share_logins, run_child},
    redis::RedisServer,
};

use super::fixture::{builder, grant};
use crate::revocation::test_store::key;

fn open(url: &str) -> Arc<dyn Store> {
    Arc::new(Redis::builder(url).unwrap().build().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_share_logins_in_redis_and_survive_an_abrupt_end_and_a_restart() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    assert_processes_share_logins("issue::processes::child_process", &server.url(), open).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn child_process() {
    run_child(open).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_with_redis_takes_two_reads_and_one_replacement() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    let store = SealedStore::new(open(&server.url()), StoreSecret::new(key(7)).unwrap());
    let issuer = builder(store, SystemClock).build().unwrap();
    issuer.issue(grant("bob")).await.unwrap();
    let pair = issuer.issue(grant("alice")).await.unwrap();
    let count = || {
        let stats = server.cli(&["INFO", "commandstats"]);
        let calls = stats.lines().filter_map(|line| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((name.to_owned(), rest.split(',').next()?.parse::<u64>().ok()?))
        });
        calls.collect::<std::collections::BTreeMap<_, _>>()
    };
    let before = count();
    issuer.refresh(pair.refresh_token()).await.unwrap();
    let after = count();
    // Without those of `redis-cli` and those that scripts call.
    let sent = |name: &str| {
        after.get(name).copied().unwrap_or_default() - before.get(name).copied().unwrap_or_default()
    };
    let scripts = [sent("eval"), sent("evalsha"), sent("eval_ro"), sent("evalsha_ro")];
    assert_eq!(sent("eval_ro") + sent("evalsha_ro"), 2, "{before:?} {after:?}");
    assert_eq!(scripts.iter().sum::<u64>(), 3, "{before:?} {after:?}");
    assert_eq!(sent("time"), 0, "{before:?} {after:?}");
}
