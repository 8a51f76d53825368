//! The suite of tests for stores.

use std::time::Duration;

use tower_auth::{
    store::{Redis, RedisBuilder},
    test_util::StoreSuite,
};
use tower_auth_test_support::{openssl::OpenSsl, proxy::Proxy, redis::RedisServer};

use super::store;

/// Runs the suite with two stores, one of them through a proxy that breaks its connections.
async fn run(server: &RedisServer, build: impl Fn(&str) -> RedisBuilder) {
    let proxy = Proxy::to(server.port).await;
    // A busy machine may need more than the default.
    let build = |url: &str| build(url).timeout(Duration::from_secs(10)).build().unwrap();
    let (direct, proxied) = (build(&server.url()), build(&proxy.url()));
    StoreSuite::new(proxied)
        .and(direct)
        .break_connection(move || {
            proxy.reset();
            std::future::ready(())
        })
        .run()
        .await;
}

fn node(url: &str) -> RedisBuilder {
    Redis::builder(url).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_follows_the_rules_of_a_store() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    run(&server, node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn valkey_follows_the_rules_of_a_store() {
    let Some(server) = RedisServer::valkey(&[]) else { return };
    run(&server, node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn user_with_the_documented_rights_suffices() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    // As in the docs of `Redis`.
    let rights = "on >s%cret resetchannels ~shop:* -@all \
                  +get +set +getdel +incrby +eval +eval_ro +time +info +select +wait";
    let mut command = vec!["ACL", "SETUSER", "shop"];
    command.extend(rights.split_whitespace());
    server.cli(&command);
    server.cli(&["ACL", "SETUSER", "default", "off"]);
    run(&server, |url| {
        let url = url.replace("redis://", "redis://shop:s%25cret@") + "/3";
        node(&url).prefix("shop")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_connection_follows_the_rules_of_a_store() {
    let Some(openssl) = OpenSsl::find() else { return };
    openssl.generate("key.pem", "EC -pkeyopt ec_paramgen_curve:P-256");
    let certificate = openssl.text(
        "req -x509 -new -key key.pem -subj /CN=redis -days 2 -addext subjectAltName=IP:127.0.0.1 \
         -addext basicConstraints=critical,CA:FALSE",
    );
    std::fs::write(openssl.path("cert.pem"), &certificate).unwrap();
    let path = |file| openssl.path(file).to_str().unwrap().to_owned();
    let port = tower_auth_test_support::program::free_port();
    let Some(_server) = RedisServer::redis(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &path("cert.pem"),
        "--tls-key-file",
        &path("key.pem"),
        "--tls-auth-clients",
        "no",
    ]) else {
        return;
    };
    let url = format!("rediss://127.0.0.1:{port}");
    let trusting = node(&url).root_certificate(certificate).timeout(Duration::from_secs(10));
    StoreSuite::new(trusting.build().unwrap()).run().await;
    // The certificate is not one of the system.
    use tower_auth::store::Store as _;
    let error = store(&url).get(&[super::key(1)]).await.unwrap_err();
    assert!(super::reason(&error).contains("certificate"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_certificate_of_another_host_is_rejected() {
    use tower_auth::store::Store as _;
    let Some(openssl) = OpenSsl::find() else { return };
    openssl.generate("key.pem", "EC -pkeyopt ec_paramgen_curve:P-256");
    let certificate = openssl.text(
        "req -x509 -new -key key.pem -subj /CN=127.0.0.1 -days 2 \
         -addext subjectAltName=DNS:redis.example \
         -addext basicConstraints=critical,CA:FALSE",
    );
    std::fs::write(openssl.path("cert.pem"), &certificate).unwrap();
    let path = |file| openssl.path(file).to_str().unwrap().to_owned();
    let port = tower_auth_test_support::program::free_port();
    let Some(_server) = RedisServer::redis(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &path("cert.pem"),
        "--tls-key-file",
        &path("key.pem"),
        "--tls-auth-clients",
        "no",
    ]) else {
        return;
    };
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("rediss://{host}:{port}");
        for builder in [node(&url), Redis::cluster([&url]).unwrap()] {
            let trusting = builder.root_certificate(certificate.clone());
            let trusting = trusting.timeout(Duration::from_secs(10)).build().unwrap();
            let error = trusting.get(&[super::key(1)]).await.unwrap_err();
            assert!(super::reason(&error).contains("certificate"), "{host}: {error:?}");
        }
    }
}
