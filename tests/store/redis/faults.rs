//! Faults of real servers, through a service that checks revocations in them for each request.

use std::{fs, time::Duration};

use tokio::task::JoinSet;
use tower_auth::test_util::TokenMint;
use tower_auth_test_support::{proxy::Proxy, redis::RedisServer};

use super::service::{ISSUER, Service, TIMEOUT, token};

struct Setup {
    server: RedisServer,
    service: Service,
    mint: TokenMint,
    /// A token that works, and a token that was revoked.
    valid: String,
    revoked: String,
}

impl Setup {
    async fn new(arguments: &[&str]) -> Option<Self> {
        let server = RedisServer::redis(arguments)?;
        Some(Self::with(server, |server| server.url()).await)
    }

    async fn with(server: RedisServer, url: impl Fn(&RedisServer) -> String) -> Self {
        let mint = TokenMint::new(ISSUER);
        let service = Service::start(&url(&server), &mint).await;
        let [valid, revoked] = ["valid", "revoked"].map(|jti| token(&mint, jti));
        assert_eq!(service.get(&valid).await, 200);
        assert_eq!(service.log_out(&revoked).await, 204);
        assert_eq!(service.get(&revoked).await, 401);
        Self { server, service, mint, valid, revoked }
    }

    /// Sends requests at the same time and returns the distinct statuses.
    async fn statuses(&self, count: usize) -> Vec<u16> {
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let (service, valid) = (self.service.clone(), self.valid.clone());
            tasks.spawn(async move {
                match number % 4 {
                    0 => service.log_out(&valid).await,
                    _ => service.get(&valid).await,
                }
            });
        }
        let mut statuses = tasks.join_all().await;
        statuses.sort_unstable();
        statuses.dedup();
        statuses
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_server_gives_503_until_it_is_back() {
    let Some(mut setup) = Setup::new(&["--appendonly", "yes", "--appendfsync", "always"]).await
    else {
        return;
    };
    for _ in 0..3 {
        // Operations are in flight when it dies.
        setup.server.pause();
        let requests = setup.statuses(40);
        let (statuses, ()) = tokio::join!(requests, async {
            tokio::time::sleep(TIMEOUT / 3).await;
            setup.server.kill_by_id();
        });
        assert_eq!(statuses, [503]);
        setup.server.kill();
        assert_eq!(setup.statuses(40).await, [503]);
        setup.server.start_again();
        setup.service.assert_recovers(&setup.valid).await;
        assert_eq!(setup.service.get(&setup.revoked).await, 401);
        assert_eq!(setup.service.events.take(), ["unavailable", "available"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_server_gives_503_after_the_timeout() {
    let Some(setup) = Setup::new(&[]).await else { return };
    for _ in 0..3 {
        setup.server.pause();
        for _ in 0..3 {
            assert_eq!(setup.statuses(20).await, [503]);
        }
        setup.server.resume();
        setup.service.assert_recovers(&setup.valid).await;
        assert_eq!(setup.service.get(&setup.revoked).await, 401);
        assert_eq!(setup.service.events.take(), ["unavailable", "available"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn service_recovers_after_a_long_outage() {
    // With `everysec`, a write is kept back while the one before is synchronized to a busy disk.
    let arguments = ["--appendonly", "yes", "--appendfsync", "always"];
    let Some(mut setup) = Setup::new(&arguments).await else { return };
    setup.server.kill();
    let started = std::time::Instant::now();
    while started.elapsed() < Duration::from_secs(5) {
        assert_eq!(setup.service.get(&setup.valid).await, 503);
    }
    setup.server.start_again();
    setup.service.assert_recovers(&setup.valid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn full_server_keeps_serving_but_cannot_log_out() {
    let Some(setup) = Setup::new(&[]).await else { return };
    setup.server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let other = token(&setup.mint, "other");
    assert_eq!(setup.service.log_out(&other).await, 503);
    assert_eq!(setup.service.events.take(), ["full"]);
    for (token, expected) in [(&setup.valid, 200), (&other, 200), (&setup.revoked, 401)] {
        assert_eq!(setup.service.get(token).await, expected);
    }
    setup.server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(setup.service.log_out(&other).await, 204);
    assert_eq!(setup.service.get(&other).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_password_gives_503_until_it_is_right() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    let url = |server: &RedisServer| server.url().replace("redis://", "redis://:right@");
    let setup = Setup::with(server, url).await;
    setup.server.cli(&["CONFIG", "SET", "requirepass", "other"]);
    setup.server.cli(&["-a", "other", "CLIENT", "KILL", "TYPE", "normal"]);
    assert_eq!(setup.statuses(20).await, [503]);
    setup.server.cli(&["-a", "other", "CONFIG", "SET", "requirepass", "right"]);
    setup.service.assert_recovers(&setup.valid).await;
    assert_eq!(setup.service.get(&setup.revoked).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_network_is_no_fault_below_the_timeout() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    let proxy = Proxy::to(server.port).await;
    let setup = Setup::with(server, |_| proxy.url()).await;
    proxy.set_delay(Duration::from_millis(200));
    for token in [&setup.valid, &setup.revoked] {
        let expected = if *token == setup.valid { 200 } else { 401 };
        assert_eq!(setup.service.get(token).await, expected);
    }
    assert_eq!(setup.service.events.take(), [""; 0]);
    // Above it, requests fail in time.
    proxy.set_delay(TIMEOUT * 3);
    assert_eq!(setup.statuses(20).await, [503]);
    proxy.set_delay(Duration::ZERO);
    setup.service.assert_recovers(&setup.valid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logout_whose_answer_is_lost_can_be_repeated() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    let proxy = Proxy::to(server.port).await;
    let setup = Setup::with(server, |_| proxy.url()).await;
    for command in ["SET", "INCRBY"] {
        let token = token(&setup.mint, command);
        proxy.discard_answer_to(command);
        assert_eq!(setup.service.log_out(&token).await, 503, "{command}");
        // It took effect, so a repeated logout has no valid token.
        assert_eq!(setup.service.get(&token).await, 401, "{command}");
        assert_eq!(setup.service.get(&setup.valid).await, 200);
    }
    assert!(!setup.service.events.take().contains(&"reverted"));
}

#[tokio::test(flavor = "multi_thread")]
async fn emptied_server_does_not_admit_revoked_tokens() {
    let Some(mut setup) = Setup::new(&[]).await else { return };
    setup.server.kill();
    assert_eq!(setup.service.get(&setup.revoked).await, 503);
    setup.server.start_again();
    while setup.service.get(&setup.revoked).await == 503 {}
    assert_eq!(setup.service.get(&setup.revoked).await, 401);
    assert_eq!(setup.service.events.take(), ["unavailable", "available", "reverted"]);
    // All tokens from before are rejected, and new ones work.
    assert_eq!(setup.service.get(&setup.valid).await, 401);
    assert_eq!(setup.service.get(&later_token(&setup.mint)).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn server_with_an_older_dump_does_not_admit_revoked_tokens() {
    let Some(mut setup) = Setup::new(&["--dbfilename", "dump.rdb"]).await else { return };
    setup.server.cli(&["SAVE"]);
    let late = token(&setup.mint, "late");
    assert_eq!(setup.service.log_out(&late).await, 204);
    setup.server.kill();
    assert!(fs::exists(setup.server.path("dump.rdb")).unwrap());
    setup.server.start_again();
    while setup.service.get(&late).await == 503 {}
    assert_eq!(setup.service.get(&late).await, 401);
    assert!(setup.service.events.take().contains(&"reverted"));
    assert_eq!(setup.service.get(&setup.revoked).await, 401);
    assert_eq!(setup.service.get(&later_token(&setup.mint)).await, 200);
}

/// Its connections stay open, and it answers from what it has.
#[tokio::test(flavor = "multi_thread")]
async fn server_that_became_a_replica_is_not_read() {
    let Some(setup) = Setup::new(&[]).await else { return };
    let port = tower_auth_test_support::program::free_port().to_string();
    setup.server.cli(&["REPLICAOF", "127.0.0.1", &port]);
    assert_eq!(setup.service.get(&setup.valid).await, 503);
    setup.server.cli(&["REPLICAOF", "NO", "ONE"]);
    setup.service.assert_recovers(&setup.valid).await;
}

/// Returns a token that is issued after the loss. Its `iat` has whole seconds.
fn later_token(mint: &TokenMint) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    mint.token("alice").audience("orders").claim("iat", now.as_secs() + 2).sign()
}
