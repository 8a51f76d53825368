//! What `RedisBuilder` rejects, and what it must not reveal.

use std::time::Duration;

use tower_auth::{
    ConfigErrorKind,
    store::{Redis, Store, StoreErrorKind},
};
use tower_auth_test_support::redis::RedisServer;

use super::{key, reason, store};

const SECRET: &str = "Tr0ub4dor";

#[test]
fn invalid_url_is_rejected_without_its_password() {
    for url in [
        "",
        "http://localhost",
        "redis://",
        "redis://:Tr0ub4dor@",
        "redis://user:Tr0ub4dor@host:port",
        "redis://user:Tr0ub4dor@host/name",
        "redis://user:Tr0ub4dor/1@host",
        "redis://:Tr0ub4dor#1@host",
        "rediss://user:Tr0ub4dor@host#insecure",
        "redis://user:Tr0ub4dor@host?protocol=Tr0ub4dor",
        "redis://user:Tr0ub4dor@0.0.0.0",
    ] {
        let error = Redis::builder(url).unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::Invalid, "{url}");
        let text = format!("{error:#} {error:?}");
        assert!(!text.contains(SECRET), "{text}");
    }
}

#[test]
fn invalid_settings_are_rejected() {
    let builder = || Redis::builder("redis://127.0.0.1").unwrap();
    let tls = || Redis::builder("rediss://127.0.0.1").unwrap();
    for (builder, expected) in [
        (builder().prefix(""), "prefix"),
        (builder().prefix("a b"), "prefix"),
        (builder().prefix("a".repeat(129)), "prefix"),
        (builder().timeout(Duration::ZERO), "timeout"),
        (builder().timeout(Duration::from_secs(61)), "timeout"),
        (builder().durable(0), "durable"),
        (builder().root_certificate("-----BEGIN CERTIFICATE-----"), "rediss"),
        (tls().root_certificate(""), "PEM"),
        (tls().root_certificate("-----BEGIN CERTIFICATE-----\n?"), "PEM"),
    ] {
        let error = builder.build().unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let none: [&str; 0] = [];
    assert_eq!(Redis::cluster(none).unwrap_err().kind(), ConfigErrorKind::Missing);
    assert_eq!(Redis::sentinel("", ["redis://a"]).unwrap_err().kind(), ConfigErrorKind::Missing);
    for urls in [
        ["redis://a", "rediss://b"],
        ["redis://:1@a", "redis://:2@b"],
        ["redis://u:1@a", "redis://v:1@b"],
        ["redis://a/1", "redis://b/2"],
    ] {
        assert_eq!(Redis::cluster(urls).unwrap_err().kind(), ConfigErrorKind::Conflict);
        let error = Redis::sentinel("auth", urls).unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::Conflict);
    }
    assert!(Redis::cluster(["redis://a/1"]).is_err());
    assert!(Redis::cluster(["unix:///socket"]).is_err());
}

#[test]
fn debug_text_has_no_password() {
    let url = format!("redis://user:{SECRET}@127.0.0.1");
    let builder = || Redis::builder(&url).unwrap();
    for text in [
        format!("{:?}", builder()),
        format!("{:?}", builder().build().unwrap()),
        format!("{:?}", Redis::cluster([&url]).unwrap().build().unwrap()),
        format!("{:?}", Redis::sentinel("auth", [&url]).unwrap().build().unwrap()),
    ] {
        assert!(!text.contains(SECRET) && !text.contains("user"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_password_is_unavailable_until_it_is_right() {
    let Some(server) = RedisServer::redis(&["--requirepass", "right"]) else { return };
    let url = server.url().replace("redis://", &format!("redis://:{SECRET}@"));
    let store = store(&url);
    let error = store.get(&[key(1)]).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(reason(&error).contains("WRONGPASS"), "{error:?}");
    assert!(!format!("{error:?}").contains(SECRET));
    server.cli(&["-a", "right", "CONFIG", "SET", "requirepass", SECRET]);
    tokio::time::timeout(Duration::from_secs(2), async {
        while store.get(&[key(1)]).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn value_of_another_type_is_unreadable() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    let Some(valkey) = RedisServer::valkey(&[]) else { return };
    for server in [server, valkey] {
        let store = store(&server.url());
        let (list, absent, text) = (key(1), key(2), key(3));
        server.cli(&["LPUSH", &format!("tower-auth:{list}"), "a"]);
        server.cli(&["SET", &format!("tower-auth:{text}"), "a"]);
        let value = super::value;
        let kinds = [
            store.get(&[list]).await.unwrap_err().kind(),
            store.get(&[absent, list]).await.unwrap_err().kind(),
            store.take(&list).await.unwrap_err().kind(),
            store.replace(&list, value(), value(), super::ttl()).await.unwrap_err().kind(),
            store.add(&[list], 1, super::ttl()).await.unwrap_err().kind(),
            store.add(&[absent, text], 1, super::ttl()).await.unwrap_err().kind(),
        ];
        assert_eq!(kinds, [StoreErrorKind::Unreadable; 6]);
        assert!(!store.insert(&list, value(), super::ttl()).await.unwrap());
        assert_eq!(server.cli(&["LRANGE", &format!("tower-auth:{list}"), "0", "-1"]), "a");
        store.put(&list, value(), super::ttl()).await.unwrap();
        assert_eq!(store.get(&[list]).await.unwrap(), [Some(value())]);
    }
}
