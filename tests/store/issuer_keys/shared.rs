//! Instances that share their keys in a store.

use std::{collections::HashSet, time::Duration};

use tokio::task::JoinSet;
use tower_auth::{
    issue::{SigningKeys, TokenIssuer},
    store::{Memory, Redis, SealedStore, StoreSecret},
    test_util::{TestClock, principal},
};
use tower_auth_test_support::{redis::RedisServer, store::SwitchedStore};

use super::{DAY, is_accepted, issuer, kid, published, store_and_clock};

const OLD: [u8; 32] = *b"0123456789abcdefghijklmnopqrstuv";
const NEW: [u8; 32] = *b"vutsrqponmlkjihgfedcba9876543210";

/// Starts 64 instances at once, and checks that each accepts the tokens of the others.
async fn assert_instances_agree(issuers: Vec<TokenIssuer>) {
    let mut tasks = JoinSet::new();
    for (number, issuer) in issuers.iter().cloned().enumerate() {
        tasks.spawn(async move {
            let tokens = issuer.issue(&principal(format!("user {number}")).build()).await.unwrap();
            let ids: Vec<_> =
                issuer.keys().await.unwrap().iter().map(|key| key.id().to_owned()).collect();
            (tokens, ids)
        });
    }
    let results = tasks.join_all().await;
    let ids: HashSet<_> = results.iter().map(|(_, ids)| ids).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let (first, last) = (&issuers[0], issuers.last().unwrap());
    for (tokens, _) in &results {
        assert!(is_accepted(first, tokens.access_token()).await);
        assert!(last.refresh(tokens.refresh_token()).await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_start_at_the_same_time_agree_on_one_document() {
    let clock = TestClock::new();
    let store = SwitchedStore::new(clock.clone()).sealed();
    let issuers = (0..64).map(|_| issuer(&store, &clock, SigningKeys::eddsa()));
    let issuers: Vec<_> = issuers.collect();
    assert_instances_agree(issuers.clone()).await;
    // All of them find that the next keys are due.
    clock.advance(Duration::from_secs(90 * DAY));
    assert_instances_agree(issuers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_with_redis_agree_on_one_document() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    let clock = TestClock::new();
    let issuers = (0..64).map(|_| {
        // On a busy machine, 64 connections take a while.
        let redis = Redis::builder(server.url()).unwrap().timeout(Duration::from_secs(10));
        let redis = redis.build().unwrap();
        let store = SealedStore::new(redis, StoreSecret::new(OLD).unwrap());
        issuer(&store, &clock, SigningKeys::eddsa())
    });
    assert_instances_agree(issuers.collect()).await;
}

#[tokio::test]
async fn issuers_with_different_urls_have_different_keys() {
    let (store, clock) = store_and_clock();
    let one = issuer(&store, &clock, SigningKeys::eddsa());
    let other = super::builder(&store, &clock).issuer("https://other.example").build().unwrap();
    let (one, other) = (published(&one).await, published(&other).await);
    assert!(one.iter().all(|id| !other.contains(id)));
}

#[tokio::test]
async fn keys_survive_a_restart_and_each_step_of_a_rotation_of_the_secret() {
    let clock = TestClock::new();
    let memory = std::sync::Arc::new(Memory::with_clock(clock.clone()));
    let secret = |current, previous: Option<[u8; 32]>| {
        let secret = StoreSecret::new(current).unwrap();
        match previous {
            Some(previous) => secret.previous(previous).unwrap(),
            None => secret,
        }
    };
    let start = |secret| {
        let store = SealedStore::new(std::sync::Arc::clone(&memory), secret);
        issuer(&store, &clock, SigningKeys::eddsa())
    };
    let first = start(secret(OLD, None));
    let token = super::access_token(&first).await;
    let ids = published(&first).await;
    for (current, previous) in [
        (OLD, None),
        (OLD, Some(NEW)),
        (NEW, Some(OLD)),
        // Some instances are one step behind.
        (OLD, Some(NEW)),
        (NEW, Some(OLD)),
        (NEW, None),
    ] {
        let restarted = start(secret(current, previous));
        assert_eq!(published(&restarted).await, ids);
        assert!(is_accepted(&restarted, &token).await);
    }
}

#[tokio::test]
async fn rotation_of_the_secret_can_be_undone_for_thirty_days() {
    let clock = TestClock::new();
    let memory = std::sync::Arc::new(Memory::with_clock(clock.clone()));
    let start = |secret| {
        let store = SealedStore::new(std::sync::Arc::clone(&memory), secret);
        issuer(&store, &clock, SigningKeys::eddsa())
    };
    let secret = |current| StoreSecret::new(current).unwrap();
    let ids = published(&start(secret(OLD))).await;
    assert_eq!(published(&start(secret(NEW).previous(OLD).unwrap())).await, ids);
    clock.advance(Duration::from_secs(29 * DAY));
    assert_eq!(published(&start(secret(OLD))).await, ids);
}

#[tokio::test]
async fn key_that_is_removed_during_a_rotation_of_the_secret_stays_removed() {
    let clock = TestClock::new();
    let memory = std::sync::Arc::new(Memory::with_clock(clock.clone()));
    let start = |current, previous| {
        let secret = StoreSecret::new(current).unwrap().previous(previous).unwrap();
        let store = SealedStore::new(std::sync::Arc::clone(&memory), secret);
        issuer(&store, &clock, SigningKeys::eddsa())
    };
    let behind = start(OLD, NEW);
    let leaked = kid(&super::access_token(&behind).await);
    let ahead = start(NEW, OLD);
    assert!(published(&ahead).await.contains(&leaked));
    assert!(behind.remove_key(&leaked).await.unwrap());
    let restarted = start(NEW, OLD);
    assert!(!published(&restarted).await.contains(&leaked));
}
