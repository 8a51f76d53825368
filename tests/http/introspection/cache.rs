//! For how long an answer is used.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tower_auth::{Principal, jwt::TokenError};

use super::{Fixture, endpoint::Script};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test]
async fn active_token_is_not_asked_about_again_for_30_s() {
    let fixture = Fixture::new().await;
    fixture.activate("t1");
    for _ in 0..3 {
        assert_eq!(fixture.verify("t1").await.unwrap().subject(), "alice");
    }
    fixture.clock.advance(seconds(29));
    assert!(fixture.verify("t1").await.is_ok());
    assert_eq!(fixture.asked(), 1);
    fixture.clock.advance(seconds(1));
    assert!(fixture.verify("t1").await.is_ok());
    assert_eq!(fixture.asked(), 2);
}

/// The token may have been revoked while the response was on its way.
#[tokio::test]
async fn lifetime_of_an_entry_counts_from_the_request() {
    let fixture = Fixture::new().await;
    fixture.activate("t1");
    fixture.endpoint.hold("t");
    let waiting = tokio::spawn(tower_auth::bearer::TokenVerifier::verify(&fixture.tokens, "t1"));
    fixture.endpoint.wait_for_requests(1).await;
    fixture.clock.advance(seconds(20));
    fixture.endpoint.release();
    assert!(waiting.await.unwrap().is_ok());
    fixture.clock.advance(seconds(9));
    assert!(fixture.verify("t1").await.is_ok());
    assert_eq!(fixture.asked(), 1);
    fixture.clock.advance(seconds(1));
    assert!(fixture.verify("t1").await.is_ok());
    assert_eq!(fixture.asked(), 2);
}

#[tokio::test]
async fn revoked_token_is_rejected_when_its_entry_ends() {
    let fixture = Fixture::new().await;
    fixture.activate("t1");
    assert!(fixture.verify("t1").await.is_ok());
    fixture.endpoint.set("t1", Script::json(&json!({ "active": false })));
    fixture.clock.advance(seconds(29));
    assert!(fixture.verify("t1").await.is_ok());
    fixture.clock.advance(seconds(1));
    assert_eq!(fixture.reason("t1").await, TokenError::Inactive);
    // Even if the clock is set back, the old entry does not come back.
    fixture.clock.set(tower_auth::clock::Clock::now(&fixture.clock) - seconds(20));
    assert_eq!(fixture.reason("t1").await, TokenError::Inactive);
}

#[tokio::test]
async fn entry_ends_at_the_expiry_of_the_token() {
    let fixture = Fixture::new().await;
    let now = fixture.active()["iat"].as_u64().unwrap();
    fixture.activate_with("t1", &json!({ "exp": now + 10 }));
    assert!(fixture.verify("t1").await.is_ok());
    fixture.clock.advance(seconds(9));
    assert!(fixture.verify("t1").await.is_ok());
    assert_eq!(fixture.asked(), 1);
    fixture.clock.advance(seconds(1));
    fixture.endpoint.set("t1", Script::json(&json!({ "active": false })));
    assert_eq!(fixture.reason("t1").await, TokenError::Inactive);
    assert_eq!(fixture.asked(), 2);
}

#[tokio::test]
async fn expired_token_within_the_leeway_is_accepted_but_not_cached() {
    let fixture = Fixture::new().await;
    let now = fixture.active()["iat"].as_u64().unwrap();
    fixture.activate_with("t1", &json!({ "exp": now - 1 }));
    for asked in 1..4 {
        assert!(fixture.verify("t1").await.is_ok());
        assert_eq!(fixture.asked(), asked);
    }
}

#[tokio::test]
async fn rejected_token_is_not_asked_about_again_for_5_s() {
    let fixture = Fixture::new().await;
    fixture.activate_with("foreign", &json!({ "aud": "other" }));
    for _ in 0..3 {
        assert_eq!(fixture.reason("t1").await, TokenError::Inactive);
        assert_eq!(fixture.reason("foreign").await, TokenError::Audience);
    }
    fixture.clock.advance(seconds(4));
    assert_eq!(fixture.reason("t1").await, TokenError::Inactive);
    assert_eq!(fixture.asked(), 2);
    fixture.activate("t1");
    fixture.clock.advance(seconds(1));
    assert!(fixture.verify("t1").await.is_ok());
    assert_eq!(fixture.asked(), 3);
}

#[tokio::test]
async fn caches_can_be_turned_off() {
    let fixture =
        Fixture::with(|builder| builder.cache_for(Duration::ZERO).negative_for(Duration::ZERO))
            .await;
    fixture.activate("t1");
    for _ in 0..3 {
        assert!(fixture.verify("t1").await.is_ok());
        assert!(fixture.verify("t2").await.is_err());
    }
    assert_eq!(fixture.asked(), 6);
    fixture.endpoint.set("t1", Script::json(&json!({ "active": false })));
    assert_eq!(fixture.reason("t1").await, TokenError::Inactive);
    let fixture = Fixture::with(|builder| builder.cache_bytes(0)).await;
    fixture.activate("t1");
    assert!(fixture.verify("t1").await.is_ok() && fixture.verify("t1").await.is_ok());
    assert_eq!(fixture.asked(), 2);
}

#[tokio::test]
async fn lifetimes_can_be_set() {
    let fixture =
        Fixture::with(|builder| builder.cache_for(seconds(120)).negative_for(seconds(60))).await;
    fixture.activate("t1");
    let ask = async || (fixture.verify("t1").await.is_ok(), fixture.verify("t2").await.is_ok());
    assert_eq!(ask().await, (true, false));
    fixture.clock.advance(seconds(59));
    assert_eq!(ask().await, (true, false));
    assert_eq!(fixture.asked(), 2);
    fixture.clock.advance(seconds(60));
    assert_eq!(ask().await, (true, false));
    assert_eq!(fixture.asked(), 3);
    fixture.clock.advance(seconds(1));
    assert_eq!(ask().await, (true, false));
    assert_eq!(fixture.asked(), 4);
}

#[tokio::test]
async fn cache_has_at_most_the_configured_bytes() {
    let fixture = Fixture::with(|builder| builder.cache_bytes(32 * 1024)).await;
    for number in 0..60 {
        let token = format!("t{number}");
        fixture.activate_with(&token, &json!({ "text": "x".repeat(1000) }));
        assert!(fixture.verify(&token).await.is_ok());
    }
    assert_eq!(fixture.asked(), 60);
    for number in 0..60 {
        assert!(fixture.verify(&format!("t{number}")).await.is_ok());
    }
    // An entry has more than 4 KiB, so at most 8 fit.
    let hits = 120 - fixture.asked();
    assert!(hits <= 8, "{hits} of 60 were cached");
}

#[tokio::test]
async fn principal_is_mapped_once_per_answer_and_checked_on_each_request() {
    let (mapped, checked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (maps, checks) = (Arc::clone(&mapped), Arc::clone(&checked));
    let fixture = Fixture::with(|builder| {
        builder
            .map_principal(move |caller: Principal| {
                maps.fetch_add(1, Ordering::SeqCst);
                caller.to_builder().scopes(["mapped"]).build()
            })
            .check(move |caller: &Principal| {
                assert!(caller.scopes().contains("mapped"));
                match checks.fetch_add(1, Ordering::SeqCst) {
                    0..3 => Ok(()),
                    _ => Err("enough"),
                }
            })
    })
    .await;
    fixture.activate("t1");
    for _ in 0..3 {
        assert_eq!(fixture.verify("t1").await.unwrap().scopes().to_string(), "mapped");
    }
    assert_eq!(fixture.reason("t1").await, TokenError::Check("enough".into()));
    assert_eq!((mapped.load(Ordering::SeqCst), checked.load(Ordering::SeqCst)), (1, 4));
    // A check does not make a token inactive.
    assert_eq!(fixture.reason("t1").await, TokenError::Check("enough".into()));
    assert_eq!(fixture.asked(), 1);
}

#[tokio::test]
async fn map_cannot_remove_the_key_or_the_expiry_of_a_token() {
    let map = |_| tower_auth::test_util::principal("mapped").build();
    let fixture = Fixture::with(|builder| builder.map_principal(map)).await;
    fixture.activate_with("bound", &json!({ "cnf": { "jkt": "x" } }));
    assert_eq!(fixture.reason("bound").await, TokenError::Unconfirmed);
    let now = fixture.active()["iat"].as_u64().unwrap();
    fixture.activate_with("t1", &json!({ "exp": now + 10 }));
    assert_eq!(fixture.verify("t1").await.unwrap().subject(), "mapped");
    fixture.endpoint.set("t1", Script::json(&json!({ "active": false })));
    fixture.clock.advance(seconds(9));
    assert!(fixture.verify("t1").await.is_ok());
    fixture.clock.advance(seconds(1));
    assert_eq!(fixture.reason("t1").await, TokenError::Inactive);
}
