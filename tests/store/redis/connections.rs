//! When and how often the store connects.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{runtime::Runtime, task::JoinSet};
use tower_auth::store::{Redis, Store, StoreErrorKind};
use tower_auth_test_support::{proxy::Proxy, redis::RedisServer};

use super::{key, reason, store, ttl, value};

#[test]
fn store_works_after_the_runtime_of_its_connection_has_ended() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    let store = store(&server.url());
    for _ in 0..3 {
        let runtime = Runtime::new().unwrap();
        runtime.block_on(store.put(&key(1), value(), ttl())).unwrap();
        runtime.block_on(store.now()).unwrap();
    }
    // A runtime that exists but does not run does not block others for long.
    let build = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (idle, other) = (build(), build());
    idle.block_on(store.put(&key(1), value(), ttl())).unwrap();
    let started = Instant::now();
    while other.block_on(store.get(&[key(1)])).is_err() {
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn concurrent_operations_share_one_connection() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    let proxy = Proxy::to(server.port).await;
    let store = store(&proxy.url());
    let mut tasks = JoinSet::new();
    for number in 0..100 {
        let store = store.clone();
        tasks.spawn(async move { store.add(&[key(number)], 1, ttl()).await.unwrap() });
    }
    assert!(tasks.join_all().await.iter().all(|counts| *counts == [1]));
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test]
async fn attempts_to_connect_are_limited_during_an_outage() {
    let Some(mut server) = RedisServer::redis(&[]) else { return };
    let proxy = Proxy::to(server.port).await;
    let store = store(&proxy.url());
    server.kill();
    let (started, mut failures) = (Instant::now(), 0);
    while started.elapsed() < Duration::from_secs(2) {
        store.get(&[key(1)]).await.unwrap_err();
        failures += 1;
        tokio::task::yield_now().await;
    }
    // 50 ms, 100 ms, 200 ms, 400 ms, then 500 ms, each reduced by at most half.
    assert!((2..=12).contains(&proxy.connections()), "{}", proxy.connections());
    assert!(failures > 100, "operations do not wait: {failures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_beyond_the_limit_fail_at_once_while_the_server_is_paused() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    let store = Redis::builder(server.url()).unwrap().timeout(Duration::from_millis(800));
    let store = Arc::new(store.build().unwrap());
    store.get(&[key(1)]).await.unwrap();
    server.pause();
    let mut tasks = JoinSet::new();
    for _ in 0..6_000 {
        let store = store.clone();
        tasks.spawn(async move { store.get(&[key(1)]).await.unwrap_err() });
    }
    let errors = tasks.join_all().await;
    server.resume();
    let too_many = errors.iter().filter(|error| reason(error).contains("too many")).count();
    assert_eq!(too_many, 6_000 - 4_096);
    assert!(errors.iter().all(|error| error.kind() == StoreErrorKind::Unavailable));
}

#[tokio::test]
async fn clock_is_read_once_a_minute_and_after_connecting() {
    let Some(mut server) = RedisServer::redis(&[]) else { return };
    let store = store(&server.url());
    let first = store.now().await.unwrap();
    assert!(first.elapsed().unwrap_or_default() < Duration::from_secs(5));
    let read = server.count_of("time");
    for _ in 0..100 {
        let now = store.now().into_ready().expect("ready without a round trip").unwrap();
        assert!(now >= first);
    }
    assert_eq!(server.count_of("time"), read);
    server.kill();
    server.start_again();
    while store.get(&[key(1)]).await.is_err() {
        tokio::task::yield_now().await;
    }
    store.now().await.unwrap();
    assert!(server.count_of("time") >= 1);
}

#[tokio::test]
async fn forgotten_scripts_are_sent_again() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    let store = store(&server.url());
    for _ in 0..3 {
        server.cli(&["SCRIPT", "FLUSH"]);
        store.put(&key(1), value(), ttl()).await.unwrap();
        assert!(store.replace(&key(1), value(), "new".into(), ttl()).await.unwrap());
        store.add(&[key(2)], 1, ttl()).await.unwrap();
    }
}
