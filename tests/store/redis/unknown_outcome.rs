//! Connections that break after a command was sent.

use std::time::Duration;

use tower_auth::store::{Store, StoreErrorKind};
use tower_auth_test_support::{proxy::Proxy, redis::RedisServer};

use super::{key, store, ttl, value};

#[tokio::test(flavor = "multi_thread")]
async fn operation_whose_answer_is_lost_is_not_sent_again() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    let proxy = Proxy::to(server.port).await;
    let (proxied, direct) = (store(&proxy.url()), store(&server.url()));
    assert_eq!(proxied.add(&[key(1)], 1, ttl()).await.unwrap(), [1]);
    for round in 2..10 {
        proxy.discard_answer_to("INCRBY");
        let error = proxied.add(&[key(1)], 1, ttl()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
        assert_eq!(direct.get(&[key(1)]).await.unwrap()[0].as_deref(), Some(&[b'0' + round][..]));
    }
    // The next operation connects again.
    assert_eq!(proxied.add(&[key(1)], 1, ttl()).await.unwrap(), [10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn record_whose_removal_is_not_answered_is_removed_once() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    let proxy = Proxy::to(server.port).await;
    let proxied = store(&proxy.url());
    for _ in 0..5 {
        assert!(proxied.insert(&key(1), value(), ttl()).await.unwrap());
        proxy.discard_answer_to("GETDEL");
        proxied.take(&key(1)).await.unwrap_err();
        assert_eq!(proxied.take(&key(1)).await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connection_that_was_closed_is_replaced() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    let proxy = Proxy::to(server.port).await;
    let store = store(&proxy.url());
    for round in 1..=5 {
        store.put(&key(1), value(), ttl()).await.unwrap();
        assert_eq!(proxy.connections(), round);
        proxy.reset();
        // Until the client has seen it.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
