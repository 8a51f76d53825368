use std::{
    collections::BTreeSet,
    error::Error,
    sync::atomic::Ordering,
    time::{Duration, UNIX_EPOCH},
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tower_auth::{
    Principal, Rejection, RejectionKind,
    api_key::{
        ApiKeyError, ApiKeyStore as _, ApiKeys, InvalidApiKey, KeyOwner, MemoryApiKeys, NewApiKey,
    },
    clock::Clock as _,
    test_util::principal,
};

use super::{DAY, Fixture, now};

const HOUR: Duration = Duration::from_secs(60 * 60);

fn seconds(service: &Fixture) -> f64 {
    service.clock.now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

fn caller(claims: &Value) -> Principal {
    principal("alice").claims(claims).unwrap().scopes(["read", "write"]).build()
}

fn request() -> NewApiKey {
    NewApiKey::new("export").scopes(["read"])
}

#[test]
fn creating_or_rotating_a_key_requires_a_login_within_5_minutes() {
    let service = Fixture::new();
    let key = service.create();
    let now_s = seconds(&service);
    for (age, is_recent) in
        [(0.0, true), (300.0, true), (301.0, false), (-60.0, true), (-61.5, false), (1e9, false)]
    {
        let caller = caller(&json!({ "auth_time": now_s - age }));
        for result in [
            now(service.keys.create(&caller, request())),
            now(service.keys.rotate(&caller, &key.info().id, Duration::ZERO)),
        ] {
            match result {
                Ok(_) => assert!(is_recent, "{age}"),
                Err(ApiKeyError::LoginRequired) => assert!(!is_recent, "{age}"),
                // The key was rotated in the first round.
                Err(ApiKeyError::Invalid(_)) => assert!(is_recent, "{age}"),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn caller_without_a_login_of_a_user_cannot_create_keys() {
    let service = Fixture::new();
    let key = service.create();
    let now_s = seconds(&service);
    let with_key = service.verify(key.key()).unwrap();
    for caller in [
        caller(&json!({})),
        caller(&json!({ "iat": now_s })),
        caller(&json!({ "auth_time": null })),
        caller(&json!({ "auth_time": now_s.to_string() })),
        // A service that acts for the user (RFC 8693 §4.1).
        caller(&json!({ "auth_time": now_s, "act": { "sub": "orders" } })),
        caller(&json!({ "auth_time": now_s, "act": null })),
        Principal::builder("alice", tower_auth::Scheme::BASIC).scopes(["read"]).build(),
        with_key,
    ] {
        let created = now(service.keys.create(&caller, request()));
        assert!(matches!(created, Err(ApiKeyError::LoginRequired)), "{caller:?}");
        let rotated = now(service.keys.rotate(&caller, &key.info().id, HOUR));
        assert!(matches!(rotated, Err(ApiKeyError::LoginRequired)), "{caller:?}");
    }
    assert_eq!(now(service.keys.list("alice")).unwrap().len(), 1);
}

#[test]
fn key_has_only_scopes_of_the_caller_and_of_the_owner() {
    let service = Fixture::new();
    let caller = service.caller("alice").to_builder().scopes(["read", "other"]).build();
    for (scopes, missing) in [
        (&["read"][..], None),
        (&[], None),
        (&["read", "write"], Some("write")),
        (&["read", "other"], Some("other")),
        (&["READ"], Some("READ")),
    ] {
        let request = NewApiKey::new("").scopes(scopes);
        match now(service.keys.create(&caller, request)) {
            Ok(created) => {
                assert_eq!(missing, None);
                assert_eq!(created.info().scopes.iter().collect::<Vec<_>>(), scopes);
            }
            Err(ApiKeyError::InsufficientScope(scope)) => assert_eq!(missing, Some(&*scope)),
            Err(error) => panic!("{error}"),
        }
    }
    service.accounts.set("alice", None);
    let inactive = now(service.keys.create(&caller, NewApiKey::new("")));
    assert!(matches!(inactive, Err(ApiKeyError::OwnerInactive)));
}

#[test]
fn invalid_request_creates_no_key() {
    let service = Fixture::with(|builder, _| builder.lifetime(30 * DAY));
    let many: Vec<_> = (0..65).map(|number| format!("scope{number}")).collect();
    let long = "x".repeat(128);
    for (request, is_valid) in [
        (NewApiKey::new(long.clone()), true),
        (NewApiKey::new(long + "x"), false),
        (NewApiKey::new("a\nb"), false),
        (NewApiKey::new("a\u{7f}"), false),
        (NewApiKey::new("").lifetime(30 * DAY), true),
        (NewApiKey::new("").lifetime(30 * DAY + Duration::from_nanos(1)), false),
        (NewApiKey::new("").lifetime(Duration::from_secs(1)), true),
        (NewApiKey::new("").lifetime(Duration::from_millis(999)), false),
        (NewApiKey::new("").scopes(["read write"]), false),
        (NewApiKey::new("").scopes(["\""]), false),
        (NewApiKey::new("").scopes([""]), false),
        (NewApiKey::new("").scopes(&many), false),
    ] {
        let text = format!("{request:?}");
        let result = now(service.keys.dangerous_create_for("alice", request));
        assert_eq!(result.is_ok(), is_valid, "{text:.200}");
        if let Err(error) = result {
            assert!(matches!(error, ApiKeyError::Invalid(_)), "{error}");
        }
    }
    let nobody = now(service.keys.dangerous_create_for("", NewApiKey::new("")));
    assert!(matches!(nobody, Err(ApiKeyError::Invalid(_))));
    let keys = now(service.keys.list("alice")).unwrap();
    assert!(keys.iter().all(|key| key.expires_at <= service.clock.now() + 30 * DAY));
}

/// The rejection of a missing scope names the scope, in a header.
#[test]
fn unusable_scope_is_invalid_and_not_missing() {
    let service = Fixture::new();
    let many = vec!["other"; 65];
    for scopes in [&["a\"b"][..], &["a\r\nb"], &[""], &["a b"], &[&"x".repeat(1025)], &many] {
        let request = NewApiKey::new("").scopes(scopes);
        let created = now(service.keys.create(&service.caller("alice"), request));
        assert!(matches!(created, Err(ApiKeyError::Invalid(_))), "{:.20}", scopes[0]);
    }
    let request = NewApiKey::new("").scopes(["x".repeat(1024)]);
    let created = now(service.keys.create(&service.caller("alice"), request));
    assert!(matches!(created, Err(ApiKeyError::InsufficientScope(_))));
}

#[test]
fn owner_has_at_most_the_configured_number_of_live_keys() {
    let service = Fixture::with(|builder, _| builder.max_keys(2));
    let [first, _] = [service.create(), service.create()];
    let create = || now(service.keys.create(&service.caller("alice"), request()));
    assert!(matches!(create(), Err(ApiKeyError::TooMany)));
    service.create_for("bob");
    now(service.keys.revoke("alice", &first.info().id)).unwrap();
    create().unwrap();
    assert!(matches!(create(), Err(ApiKeyError::TooMany)));
    service.clock.advance(90 * DAY);
    create().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_do_not_exceed_the_number_of_keys() {
    let service = Fixture::with(|builder, _| builder.max_keys(5));
    let creations = (0..64).map(|_| {
        let (keys, caller) = (service.keys.clone(), service.caller("alice"));
        tokio::spawn(async move { keys.create(&caller, request()).await })
    });
    let creations: Vec<_> = creations.collect();
    let results = join_all(creations).await;
    assert_eq!(results.iter().filter(|result| result.as_ref().unwrap().is_ok()).count(), 5);
    assert_eq!(service.keys.list("alice").await.unwrap().len(), 5);
}

#[test]
fn rotated_key_is_valid_until_the_end_of_the_overlap() {
    let service = Fixture::new();
    let request = NewApiKey::new("export").scopes(["read", "write"]).lifetime(30 * DAY);
    let old = now(service.keys.create(&service.caller("alice"), request)).unwrap();
    service.clock.advance(DAY);
    let new = now(service.keys.rotate(&service.caller("alice"), &old.info().id, HOUR)).unwrap();
    assert_ne!(new.info().id, old.info().id);
    assert_eq!((&new.info().name, &new.info().scopes), (&old.info().name, &old.info().scopes));
    assert_eq!(new.info().expires_at, service.clock.now() + 30 * DAY);
    service.clock.advance(HOUR - Duration::from_millis(1));
    assert!(service.verify(old.key()).is_ok() && service.verify(new.key()).is_ok());
    service.clock.advance(Duration::from_millis(1));
    assert_eq!(service.reason(old.key()), InvalidApiKey::Expired);
    assert!(service.verify(new.key()).is_ok());
    // The overlap does not extend the life of the old key.
    service.clock.advance(30 * DAY - 2 * HOUR);
    let last = now(service.keys.rotate(&service.caller("alice"), &new.info().id, 9 * DAY)).unwrap();
    service.clock.advance(HOUR);
    assert_eq!(service.reason(new.key()), InvalidApiKey::Expired);
    assert!(service.verify(last.key()).is_ok());
}

#[test]
fn rotated_key_is_not_valid_for_longer_than_a_new_one() {
    let service = Fixture::new();
    let old = service.create();
    let builder = ApiKeys::builder("acme_test", service.store.clone());
    let builder = builder.owners(service.accounts.clone()).clock(service.clock.clone());
    let keys = builder.lifetime(30 * DAY).build().unwrap();
    let new = now(keys.rotate(&service.caller("alice"), &old.info().id, HOUR)).unwrap();
    assert_eq!(new.info().expires_at, service.clock.now() + 30 * DAY);
}

#[test]
fn rotation_keeps_the_scopes_that_caller_and_owner_still_have() {
    let service = Fixture::new();
    service.accounts.set("alice", Some(&["read", "write", "other"]));
    let request = NewApiKey::new("").scopes(["read", "write", "other"]);
    let old = now(service.keys.create(&service.caller("alice"), request)).unwrap();
    service.accounts.set("alice", Some(&["other", "write", "admin"]));
    let caller = service.caller("alice").to_builder().scopes(["write", "read", "admin"]).build();
    let new = now(service.keys.rotate(&caller, &old.info().id, HOUR)).unwrap();
    assert_eq!(new.info().scopes.to_string(), "write");
}

#[test]
fn only_a_live_key_of_the_caller_can_be_rotated() {
    let service = Fixture::new();
    let [revoked, expired] = [service.create(), service.create()];
    let rotate = |user: &str, id: &str| {
        now(service.keys.rotate(&service.caller(user), id, HOUR)).unwrap_err()
    };
    now(service.keys.revoke("alice", &revoked.info().id)).unwrap();
    for (user, id) in [("bob", &*expired.info().id), ("alice", "unknown"), ("alice", "")] {
        assert!(matches!(rotate(user, id), ApiKeyError::NotFound), "{user} {id}");
    }
    assert!(matches!(rotate("alice", &revoked.info().id), ApiKeyError::Invalid(_)));
    service.clock.advance(90 * DAY);
    assert!(matches!(rotate("alice", &expired.info().id), ApiKeyError::Invalid(_)));
    assert_eq!(now(service.keys.list("alice")).unwrap().len(), 2);
}

#[test]
fn owner_at_the_limit_can_rotate_one_key() {
    let service = Fixture::with(|builder, _| builder.max_keys(2));
    let [one, two] = [service.create(), service.create()];
    let rotate = |id: &str| now(service.keys.rotate(&service.caller("alice"), id, HOUR));
    rotate(&one.info().id).unwrap();
    assert!(matches!(rotate(&two.info().id), Err(ApiKeyError::TooMany)));
    service.clock.advance(HOUR);
    rotate(&two.info().id).unwrap();
}

#[test]
fn rotation_during_an_outage_leaves_the_old_key_valid() {
    let service = Fixture::new();
    let key = service.create();
    service.store.set_down(true);
    let error = now(service.keys.rotate(&service.caller("alice"), &key.info().id, HOUR));
    assert!(matches!(error, Err(ApiKeyError::Unavailable(_))));
    service.store.set_down(false);
    assert!(service.verify(key.key()).is_ok());
    assert_eq!(now(service.keys.list("alice")).unwrap(), [key.info().clone()]);
}

#[test]
fn revoked_key_stays_revoked_and_is_reported_once() {
    let service = Fixture::new();
    let key = service.create();
    let id = &*key.info().id;
    service.events.take();
    for other in ["bob", "Alice", ""] {
        let error = now(service.keys.revoke(other, id)).unwrap_err();
        assert!(matches!(error, ApiKeyError::NotFound), "{other:?}");
    }
    assert!(service.verify(key.key()).is_ok());
    let revoked_at = service.clock.now();
    for _ in 0..3 {
        now(service.keys.revoke("alice", id)).unwrap();
        service.clock.advance(HOUR);
    }
    assert_eq!(service.reason(key.key()), InvalidApiKey::Revoked);
    assert_eq!(now(service.keys.list("alice")).unwrap()[0].revoked_at, Some(revoked_at));
    let events = [format!("used alice {id}"), format!("revoked alice {id}")];
    assert_eq!(service.events.take(), events);
}

#[test]
fn id_that_no_key_can_have_is_not_found_without_a_call_of_the_store() {
    let service = Fixture::new();
    let long = "a".repeat(1 << 20);
    for id in ["", "a", "../../keys", "0123456789abcde'", "0123456789abcdeé", &long] {
        let error = now(service.keys.revoke("alice", id)).unwrap_err();
        assert!(matches!(error, ApiKeyError::NotFound));
    }
    assert_eq!(service.store.take_finds(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_revocations_are_reported_once() {
    let service = Fixture::new();
    let id = service.create().info().id.clone();
    service.events.take();
    let revocations = (0..64).map(|_| {
        let (keys, id) = (service.keys.clone(), id.clone());
        tokio::spawn(async move { keys.revoke("alice", &id).await.unwrap() })
    });
    let revocations: Vec<_> = revocations.collect();
    join_all(revocations).await;
    assert_eq!(service.events.take(), [format!("revoked alice {id}")]);
}

#[test]
fn all_keys_of_an_owner_are_revoked_and_no_others() {
    let service = Fixture::new();
    let keys = [service.create(), service.create(), service.create()];
    let other = service.create_for("bob");
    now(service.keys.revoke("alice", &keys[0].info().id)).unwrap();
    service.events.take();
    now(service.keys.revoke_all("alice")).unwrap();
    for key in &keys {
        assert_eq!(service.reason(key.key()), InvalidApiKey::Revoked);
    }
    assert!(service.verify(other.key()).is_ok());
    let events: BTreeSet<_> =
        service.events.take().into_iter().filter(|event| event.starts_with("revoked")).collect();
    let expected = keys[1..].iter().map(|key| format!("revoked alice {}", key.info().id));
    assert_eq!(events, expected.collect());
    now(service.keys.revoke_all("nobody")).unwrap();
}

#[test]
fn keys_of_an_owner_whose_name_differs_in_case_are_neither_listed_nor_revoked() {
    let service = Fixture::new();
    let key = service.create();
    service.store.ignores_case.store(true, Ordering::SeqCst);
    assert_eq!(now(service.keys.list("ALICE")).unwrap(), []);
    now(service.keys.revoke_all("ALICE")).unwrap();
    assert!(service.verify(key.key()).is_ok());
    assert_eq!(now(service.keys.list("alice")).unwrap(), [key.info().clone()]);
}

#[test]
fn keys_are_listed_in_the_order_of_their_creation() {
    let service = Fixture::new();
    let mut created = Vec::new();
    for _ in 0..20 {
        created.push(service.create().info().clone());
        service.clock.advance(Duration::from_millis(1));
    }
    service.create_for("bob");
    assert_eq!(now(service.keys.list("alice")).unwrap(), created);
    assert_eq!(now(service.keys.list("nobody")).unwrap(), []);
}

#[test]
fn store_gets_the_hash_and_never_the_key() {
    let service = Fixture::new();
    let created = service.create();
    let stored = now(service.store.find(&created.info().id)).unwrap().unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, created.key().as_bytes());
    assert_eq!(stored.digest, digest.as_ref());
    super::assert_hides(&stored, created.key());
    assert_eq!(&stored.info, created.info());
}

#[test]
fn times_of_a_key_are_whole_milliseconds() {
    let service = Fixture::new();
    service.clock.set(UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789));
    let key = service.create();
    let created_at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    assert_eq!((key.info().created_at, key.info().expires_at), (created_at, created_at + 90 * DAY));
}

#[test]
fn errors_become_the_rejections_of_handlers() {
    let insufficient = ApiKeyError::InsufficientScope("orders:write".into());
    for (error, kind, challenge) in [
        (
            ApiKeyError::LoginRequired,
            RejectionKind::InsufficientAuthentication,
            Some(r#"Bearer error="insufficient_user_authentication", max_age="300""#),
        ),
        (
            insufficient,
            RejectionKind::InsufficientScope,
            Some(r#"Bearer error="insufficient_scope", scope="orders:write""#),
        ),
        (ApiKeyError::OwnerInactive, RejectionKind::Forbidden, None),
        (ApiKeyError::TooMany, RejectionKind::Forbidden, None),
        (ApiKeyError::NotFound, RejectionKind::Forbidden, None),
        (ApiKeyError::Invalid("no"), RejectionKind::MalformedRequest, None),
        (
            ApiKeyError::Unavailable(Box::<dyn Error + Send + Sync>::from("x").into()),
            RejectionKind::Unavailable,
            None,
        ),
    ] {
        let rejection = Rejection::from(error);
        assert_eq!(rejection.kind(), kind);
        let challenges = rejection.challenges().map(|one| one.to_header_value());
        let expected: Vec<_> = challenge.into_iter().collect();
        assert_eq!(challenges.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn incomplete_or_invalid_configuration_is_rejected() {
    let builder = |prefix: &str| ApiKeys::builder(prefix, MemoryApiKeys::new());
    let trusted = |prefix: &str| builder(prefix).dangerous_trust_owners();
    assert!(builder("acme").build().is_err(), "no owners");
    for invalid in [
        trusted("Acme"),
        trusted("acme").lifetime(Duration::ZERO),
        trusted("acme").lifetime(366 * DAY + Duration::from_nanos(1)),
        trusted("acme").max_keys(0),
        trusted("acme").max_keys(10_001),
    ] {
        assert!(invalid.build().is_err());
    }
    trusted("acme").lifetime(366 * DAY).max_keys(10_000).build().unwrap();
    let owners = async |_: String| Ok::<_, std::io::Error>(Some(KeyOwner::with_all_scopes()));
    let error = trusted("acme").owners(owners).build().unwrap_err().to_string();
    assert!(error.contains("must not both be called: remove one"), "{error}");
}
