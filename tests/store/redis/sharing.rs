//! Several instances of a service with one server.

use std::{fs, time::Duration};

use tokio::task::JoinSet;
use tower_auth::test_util::TokenMint;
use tower_auth_test_support::redis::RedisServer;

use super::service::{ISSUER, Service, token};

#[tokio::test(flavor = "multi_thread")]
async fn logouts_and_logins_at_the_same_time_do_not_affect_each_other() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    let mint = TokenMint::new(ISSUER);
    let one = Service::patient(&server.url(), Duration::ZERO, &mint).await;
    let other = Service::patient(&server.url(), Duration::ZERO, &mint).await;
    let mut tasks = JoinSet::new();
    for number in 0..64 {
        let [ended, kept] = ["ended", "kept"].map(|kind| token(&mint, &format!("{kind}{number}")));
        let (one, other) = match number % 2 {
            0 => (one.clone(), other.clone()),
            _ => (other.clone(), one.clone()),
        };
        tasks.spawn(async move {
            assert_eq!(other.get(&ended).await, 200);
            assert_eq!(one.log_out(&ended).await, 204);
            assert_eq!(other.get(&ended).await, 401);
            assert_eq!(one.get(&ended).await, 401);
            assert_eq!(other.get(&kept).await, 200);
            kept
        });
    }
    for kept in tasks.join_all().await {
        assert_eq!(one.get(&kept).await, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_tokens_at_the_same_time_make_one_request_to_the_server() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    let mint = TokenMint::new(ISSUER);
    let service = Service::patient(&server.url(), Duration::from_secs(5), &mint).await;
    // Creates the epoch.
    assert_eq!(service.get(&token(&mint, "other")).await, 200);
    let cold = token(&mint, "cold");
    let tokens = mint.validator("orders").revocations(service.revocations.clone());
    let tokens = tokens.build().unwrap();
    let asked = server.count_of("eval_ro");
    let mut tasks = JoinSet::new();
    for _ in 0..1_000 {
        let (tokens, cold) = (tokens.clone(), cold.clone());
        tasks.spawn(async move { tokens.verify(&cold).await.is_ok() });
    }
    assert!(tasks.join_all().await.into_iter().all(|is_valid| is_valid));
    assert_eq!(server.count_of("eval_ro") - asked, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_flat_during_an_outage() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    let mint = TokenMint::new(ISSUER);
    let service = Service::start(&server.url(), &mint).await;
    let tokens = mint.validator("orders").revocations(service.revocations.clone());
    let tokens = tokens.build().unwrap();
    let valid = token(&mint, "valid");
    let run = async |requests: usize| {
        let mut tasks = JoinSet::new();
        for _ in 0..requests {
            let (tokens, valid) = (tokens.clone(), valid.clone());
            tasks.spawn(async move { tokens.verify(&valid).await.is_ok() });
            if tasks.len() >= 1_000 {
                assert!(!tasks.join_next().await.unwrap().unwrap());
            }
        }
        assert!(tasks.join_all().await.into_iter().all(|is_valid| !is_valid));
    };
    server.pause();
    run(2_000).await;
    let Some(before) = resident_kib() else { return };
    run(10_000).await;
    let after = resident_kib().unwrap();
    server.resume();
    assert!(after < before + 20_000, "{before} KiB grew to {after} KiB");
    service.assert_recovers(&valid).await;
}

/// Returns the memory of this process, on systems that tell.
fn resident_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
