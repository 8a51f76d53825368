//! Writes that a replica has to confirm.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use tower_auth::{
    revocation::{Revocations, RevokeError},
    store::{Redis, SealedStore, StoreErrorKind},
};
use tower_auth_test_support::{proxy::Proxy, redis::RedisServer, stub::wait_until};

use super::{
    reason, secret,
    service::{ISSUER, TIMEOUT},
};

fn revocations(url: &str) -> Revocations {
    let redis = Redis::builder(url).unwrap().timeout(TIMEOUT).durable(1).build().unwrap();
    Revocations::builder(SealedStore::new(redis, secret()))
        .longest_token_life(Duration::from_secs(3_600))
        .build()
        .unwrap()
}

/// Returns why a logout failed, and checks that it failed in time.
async fn failed_logout(revocations: &Revocations) -> String {
    let started = Instant::now();
    // On a busy machine, timers are late.
    let timer = tokio::spawn(async move {
        sleep(TIMEOUT).await;
        started.elapsed()
    });
    let error = revocations.session(ISSUER, "s").await.unwrap_err();
    let duration = started.elapsed();
    if duration > TIMEOUT {
        assert!(duration <= timer.await.unwrap() + Duration::from_millis(100), "{duration:?}");
    }
    let RevokeError::Store(error) = error else { panic!("{error:?}") };
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    reason(&error)
}

#[tokio::test(flavor = "multi_thread")]
async fn logout_fails_unless_a_replica_confirms_it() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    let revocations = revocations(&server.url());
    // On a busy machine, the time limit can be reached before the reason is known.
    let is_reason = async || failed_logout(&revocations).await.contains("too few replicas");
    wait_until("an answer that too few replicas have confirmed", is_reason).await;
    let replica = server.replica(&[]);
    wait_until("a replica", async || server.cli(&["WAIT", "1", "100"]) == "1").await;
    revocations.session(ISSUER, "s").await.unwrap();
    for _ in 0..3 {
        replica.pause();
        for _ in 0..3 {
            failed_logout(&revocations).await;
        }
        replica.resume();
        let started = Instant::now();
        while revocations.session(ISSUER, "s").await.is_err() {
            assert!(started.elapsed() < Duration::from_secs(2));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn durable_write_whose_answer_is_lost_is_not_sent_again() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    let _replica = server.replica(&[]);
    wait_until("a replica", async || server.cli(&["WAIT", "1", "100"]) == "1").await;
    let proxy = Proxy::to(server.port).await;
    let revocations = revocations(&proxy.url());
    revocations.session(ISSUER, "s").await.unwrap();
    // One connection for the other operations, one for these.
    assert_eq!(proxy.connections(), 2);
    let sent = server.count_of("wait");
    proxy.discard_answer_to("WAIT");
    failed_logout(&revocations).await;
    assert_eq!(server.count_of("wait"), sent + 1);
}
