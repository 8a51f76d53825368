//! Instances that share a Redis server.

use tower_auth::{
    clock::SystemClock,
    issue::TokenIssuer,
    jwt::TokenError,
    store::{Redis, SealedStore, StoreSecret},
};
use tower_auth_test_support::redis::RedisServer;

use super::{
    super::fixture::{builder, grant},
    assert_rejected,
    life_cycle::assert_concurrent_refreshes,
};
use crate::revocation::test_store::key;

fn instance(server: &RedisServer) -> TokenIssuer {
    let store = Redis::builder(server.url()).unwrap().build().unwrap();
    let store = SealedStore::new(store, StoreSecret::new(key(7)).unwrap());
    builder(store, SystemClock).opaque_access_tokens().build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_with_redis_share_tokens_and_logouts() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    let issuers = [instance(&server), instance(&server)];
    assert_concurrent_refreshes(&issuers).await;
    let pair = issuers[0].issue(grant("mallory")).await.unwrap();
    assert!(issuers[1].verifier().verify(pair.access_token()).await.is_ok());
    let names = server.cli(&["KEYS", "*access_token*"]);
    let random = &pair.access_token()[3..20];
    assert!(!names.contains(random), "{names}");
    for name in names.lines() {
        let value = server.cli(&["GET", name]);
        assert!(!value.contains("mallory") && !value.contains(random), "{name}");
        let ttl: u64 = server.cli(&["PTTL", name]).parse().unwrap();
        assert!((500_000..=600_000).contains(&ttl), "{ttl}");
    }
    // Refreshes that lose a race leave tokens that no client has received.
    assert!(names.lines().count() >= 66, "{names}");
    issuers[0].logout_everywhere("mallory").await.unwrap();
    let rejected = issuers[1].verifier().verify(pair.access_token()).await;
    assert_rejected(&rejected, &TokenError::Revoked);
}

#[tokio::test(flavor = "multi_thread")]
async fn use_of_a_token_takes_two_reads() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    let issuer = instance(&server);
    let pair = issuer.issue(grant("alice")).await.unwrap();
    let verifier = issuer.verifier();
    verifier.verify(pair.access_token()).await.unwrap();
    let count = || {
        let all = ["eval", "evalsha", "eval_ro", "evalsha_ro"].map(|name| server.count_of(name));
        all.iter().sum::<u64>()
    };
    let before = count();
    for _ in 0..10 {
        verifier.verify(pair.access_token()).await.unwrap();
    }
    assert_eq!(count() - before, 20);
    for _ in 0..10 {
        assert!(verifier.verify(&format!("at_{}", "A".repeat(54))).await.is_err());
    }
    assert_eq!(count() - before, 20);
}
