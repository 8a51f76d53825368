//! A failover by sentinels. `.ci/weekly` runs these tests.

use std::time::{Duration, Instant};

use tower_auth::{
    store::{Redis, Store},
    test_util::TokenMint,
};
use tower_auth_test_support::{redis::RedisServer, stub::wait_until};

use super::{
    key,
    service::{ISSUER, Service, TIMEOUT, token},
    ttl,
};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow, in .ci/weekly"]
async fn sentinel_failover_keeps_confirmed_logouts() {
    let password = ["--requirepass", "secret", "--masterauth", "secret"];
    let Some(mut primary) = RedisServer::redis(&password) else { return };
    let replica = primary.replica(&password);
    let wait = ["-a", "secret", "WAIT", "1", "100"];
    wait_until("a replica", async || primary.cli(&wait) == "1").await;
    let config = format!(
        "sentinel monitor auth 127.0.0.1 {} 2\n\
         sentinel auth-pass auth secret\n\
         sentinel down-after-milliseconds auth 500\n\
         sentinel failover-timeout auth 3000\n",
        primary.port
    );
    let sentinels: Vec<RedisServer> =
        (0..3).map(|_| RedisServer::sentinel(&config).unwrap()).collect();
    let knows_all = |sentinel: &RedisServer| {
        let info = sentinel.cli(&["SENTINEL", "master", "auth"]);
        let value = |name| {
            let mut lines = info.lines().skip_while(move |line| *line != name).skip(1);
            lines.next().unwrap_or_default().to_owned()
        };
        value("num-slaves") == "1" && value("num-other-sentinels") == "2"
    };
    wait_until("the sentinels", async || sentinels.iter().all(knows_all)).await;

    let urls: Vec<String> =
        sentinels.iter().map(|sentinel| sentinel.url().replace("://", "://:secret@")).collect();
    let builder = || Redis::sentinel("auth", &urls).unwrap().timeout(TIMEOUT);
    let (durable, plain) = (builder().durable(1).build().unwrap(), builder().build().unwrap());
    let mint = TokenMint::new(ISSUER);
    let service = Service::with(durable, Duration::ZERO, &mint).await;
    let tokens: Vec<String> = (0..1_000).map(|jti| token(&mint, &jti.to_string())).collect();
    let mut confirmed = 0;
    for token in &tokens {
        if service.log_out(token).await != 204 {
            break;
        }
        confirmed += 1;
        if confirmed == 50 {
            primary.kill();
        }
    }
    assert_eq!(confirmed, 50);
    // Without a replica, other operations work again. The sentinels need some time.
    let started = Instant::now();
    while plain.add(&[key(1)], 1, ttl()).await.is_err() {
        assert!(started.elapsed() < Duration::from_secs(20));
        tokio::task::yield_now().await;
    }
    assert!(replica.cli(&["-a", "secret", "ROLE"]).starts_with("master"));
    service.assert_recovers(&tokens[900]).await;
    for token in &tokens[..50] {
        assert_eq!(service.get(token).await, 401);
    }
    assert!(!service.events.take().contains(&"reverted"));
}
