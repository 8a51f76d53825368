use std::{
    collections::BTreeSet,
    error::Error,
    sync::atomic::Ordering,
    time::{Duration, UNIX_EPOCH},
};

use futures_util::future::join_all;
use http::Request;
use tower_auth::{
    Authenticator as _, RejectionKind,
    api_key::{ApiKeyInfo, ApiKeyStore as _, InvalidApiKey, NewApiKey},
    bearer::{BearerAuth, TokenVerifier as _},
    clock::Clock as _,
    credentials::TokenLocation,
};

use super::{DAY, Fixture, now, unknown_key};

#[test]
fn valid_key_identifies_the_owner_with_scopes_and_expiry() {
    let service = Fixture::new();
    let created = service.create();
    let caller = service.verify(created.key()).unwrap();
    assert_eq!(caller.subject(), "alice");
    assert_eq!(caller.scopes().to_string(), "read write");
    assert_eq!(caller.expires_at(), Some(service.clock.now() + 90 * DAY));
    assert_eq!(caller.expires_at(), Some(created.info().expires_at));
    assert_eq!(caller.extension::<ApiKeyInfo>(), Some(created.info()));
    assert_eq!(created.key().split('_').nth(2), Some(&*created.info().id));
    super::assert_hides((&created, &caller, &service.keys), created.key());
}

#[test]
fn malformed_key_causes_no_call_of_the_store() {
    let service = Fixture::new();
    let key = service.create().key().to_owned();
    for position in 0..key.len() {
        for replacement in ["0", "z", "_", "-", "ä", " ", "\0"] {
            let mut changed = key.clone();
            changed.replace_range(position..=position, replacement);
            if changed != key {
                assert_eq!(service.reason(&changed), InvalidApiKey::Malformed, "{position}");
            }
        }
    }
    for other in [
        String::new(),
        "acme_test".to_owned(),
        key.replace("acme_test", "acme"),
        key.replace("acme_test", "acme_test2"),
        key.to_uppercase(),
        format!(" {key}"),
        format!("{key}\n"),
        format!("{key}{key}"),
        key.repeat(20_000),
    ] {
        assert_eq!(service.reason(&other), InvalidApiKey::Malformed, "{other:.80}");
    }
    assert_eq!(
        (service.store.take_finds(), service.accounts.calls.swap(0, Ordering::SeqCst)),
        (0, 1)
    );
}

#[test]
fn header_with_unusable_bytes_or_of_1_mib_is_rejected_without_a_call_of_the_store() {
    let service = Fixture::new();
    let key = service.create().key().to_owned();
    let header = BearerAuth::new(service.keys.clone());
    let header = header.token_from(TokenLocation::header("x-api-key"));
    for (value, kind) in [
        (vec![], RejectionKind::MalformedRequest),
        (vec![0xff; 67], RejectionKind::InvalidCredentials),
        ([key.as_bytes(), &[0xff]].concat(), RejectionKind::InvalidCredentials),
        (vec![b'a'; 1 << 20], RejectionKind::CredentialsTooLarge),
        (key.repeat(20_000).into_bytes(), RejectionKind::CredentialsTooLarge),
    ] {
        let request = Request::builder().header("x-api-key", &value[..]).body(()).unwrap();
        let result = header.authenticate(&request.into_parts().0).unwrap();
        let rejection = now(result).into_result().unwrap_err();
        assert_eq!(rejection.kind(), kind, "{} bytes", value.len());
    }
    assert_eq!(service.store.take_finds(), 0);
}

/// The secret of one key with the id of another has a wrong checksum, so a wrong secret with a
/// valid checksum needs a key that the store has with another hash.
#[test]
fn unknown_id_and_wrong_secret_cost_the_same_calls() {
    let service = Fixture::new();
    let (key, unknown) = (service.create(), unknown_key());
    // The same id with another hash: as if the secret was another one.
    let other = Fixture::new();
    let mut stored = now(service.store.find(&key.info().id));
    let wrong = stored.as_mut().unwrap().as_mut().unwrap();
    wrong.digest[31] ^= 1;
    now(other.store.insert(wrong.clone(), 9)).unwrap();
    other.accounts.calls.store(0, Ordering::SeqCst);
    let mut kinds = Vec::new();
    for key in [&unknown, key.key()] {
        let rejection = other.verify(key).unwrap_err();
        assert_eq!(super::reason(&rejection), InvalidApiKey::Unknown);
        assert_eq!(other.store.take_finds(), 1);
        assert_eq!(other.accounts.calls.load(Ordering::SeqCst), 0);
        kinds.push((rejection.kind(), rejection.retry_after()));
    }
    assert_eq!(kinds[0], kinds[1]);
}

#[test]
fn revoked_and_expired_keys_have_their_own_reasons() {
    let service = Fixture::new();
    let [revoked, expired, both] = [service.create(), service.create(), service.create()];
    for key in [&revoked, &both] {
        assert!(service.verify(key.key()).is_ok());
        now(service.keys.revoke("alice", &key.info().id)).unwrap();
        assert_eq!(service.reason(key.key()), InvalidApiKey::Revoked);
    }
    service.clock.advance(90 * DAY - Duration::from_millis(1));
    assert!(service.verify(expired.key()).is_ok());
    service.clock.advance(Duration::from_millis(1));
    assert_eq!(service.reason(expired.key()), InvalidApiKey::Expired);
    assert_eq!(service.reason(both.key()), InvalidApiKey::Revoked);
    // They are not cached as unknown.
    service.store.take_finds();
    assert_eq!(service.reason(expired.key()), InvalidApiKey::Expired);
    assert_eq!(service.store.take_finds(), 1);
}

#[test]
fn key_of_a_deleted_owner_is_rejected_at_the_next_request() {
    let service = Fixture::new();
    let (alice, bob) = (service.create(), service.create_for("bob"));
    assert!(service.verify(alice.key()).is_ok());
    service.accounts.set("alice", None);
    assert_eq!(service.reason(alice.key()), InvalidApiKey::OwnerInactive);
    assert!(service.verify(bob.key()).is_ok());
    service.accounts.set("alice", Some(&["read"]));
    assert!(service.verify(alice.key()).is_ok());
}

#[test]
fn scopes_that_the_owner_lost_disappear_at_the_next_request() {
    let service = Fixture::new();
    let key = service.create();
    for (scopes, expected) in [
        (&["write", "read", "admin"][..], "read write"),
        (&["write"], "write"),
        (&["admin", "READ", "rea"], ""),
        (&[], ""),
        (&["read", "write"], "read write"),
    ] {
        service.accounts.set("alice", Some(scopes));
        assert_eq!(service.verify(key.key()).unwrap().scopes().to_string(), expected);
    }
}

#[test]
fn outage_returns_503_and_is_not_cached() {
    let service = Fixture::new();
    let (key, unknown) = (service.create(), unknown_key());
    for _ in 0..2 {
        service.store.set_down(true);
        for key in [key.key(), &unknown] {
            for _ in 0..3 {
                let rejection = service.verify(key).unwrap_err();
                assert_eq!(rejection.kind(), RejectionKind::Unavailable);
                assert!(rejection.retry_after().is_some());
                assert_eq!(rejection.source().unwrap().to_string(), "database 7 is down");
                assert_eq!(service.store.take_finds(), 1);
            }
        }
        service.store.set_down(false);
        assert!(service.verify(key.key()).is_ok());
        service.accounts.is_down.store(true, Ordering::SeqCst);
        assert_eq!(service.verify(key.key()).unwrap_err().kind(), RejectionKind::Unavailable);
        service.accounts.is_down.store(false, Ordering::SeqCst);
        assert!(service.verify(key.key()).is_ok());
        service.store.take_finds();
    }
    assert_eq!(service.reason(&unknown), InvalidApiKey::Unknown);
}

#[test]
fn unknown_key_is_remembered_for_30_s() {
    let service = Fixture::new();
    let unknown = unknown_key();
    for _ in 0..2 {
        for _ in 0..3 {
            assert_eq!(service.reason(&unknown), InvalidApiKey::Unknown);
        }
        assert_eq!(service.store.take_finds(), 1);
        service.clock.advance(Duration::from_millis(29_999));
        assert_eq!(service.reason(&unknown), InvalidApiKey::Unknown);
        assert_eq!(service.store.take_finds(), 0);
        service.clock.advance(Duration::from_millis(1));
    }
}

/// A replica of a database can be behind for a moment.
#[test]
fn key_that_appears_in_the_store_is_accepted_after_30_s() {
    let (service, other) = (Fixture::new(), Fixture::new());
    let created = other.create();
    assert_eq!(service.reason(created.key()), InvalidApiKey::Unknown);
    let stored = now(other.store.find(&created.info().id));
    let stored = stored.unwrap().unwrap();
    now(service.store.insert(stored, 9)).unwrap();
    assert_eq!(service.reason(created.key()), InvalidApiKey::Unknown);
    service.clock.advance(Duration::from_secs(30));
    assert!(service.verify(created.key()).is_ok());
}

#[test]
fn unknown_key_is_looked_up_again_after_the_clock_was_set_back() {
    let service = Fixture::new();
    let unknown = unknown_key();
    let start = service.clock.now();
    assert_eq!(service.reason(&unknown), InvalidApiKey::Unknown);
    service.clock.set(start - Duration::from_secs(1));
    service.store.take_finds();
    assert_eq!(service.reason(&unknown), InvalidApiKey::Unknown);
    assert_eq!(service.store.take_finds(), 1);
}

#[test]
fn flood_of_unknown_keys_costs_one_call_of_the_store_each() {
    let service = Fixture::new();
    let keys: Vec<_> = (0..1000).map(|_| unknown_key()).collect();
    for _ in 0..3 {
        for key in &keys {
            assert_eq!(service.reason(key), InvalidApiKey::Unknown);
        }
    }
    assert_eq!(service.store.take_finds(), 1000);
    assert_eq!(service.accounts.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn pending_store_gives_the_same_results() {
    let service = Fixture::new();
    let (key, unknown) = (service.create(), unknown_key());
    let gate = service.store.close_gate();
    gate.add_permits(1000);
    let results = join_all((0..64).map(|_| service.keys.verify(key.key()))).await;
    assert!(results.iter().all(|caller| caller.as_ref().unwrap().subject() == "alice"));
    let results = join_all((0..64).map(|_| service.keys.verify(&unknown))).await;
    for result in results {
        assert_eq!(super::reason(&result.unwrap_err()), InvalidApiKey::Unknown);
    }
    assert_eq!(service.reason(&unknown), InvalidApiKey::Unknown);
    service.keys.revoke("alice", &key.info().id).await.unwrap();
    let rejection = service.keys.verify(key.key()).await.unwrap_err();
    assert_eq!(super::reason(&rejection), InvalidApiKey::Revoked);
}

#[test]
fn use_of_a_key_is_reported_once_a_minute() {
    let service = Fixture::new();
    let keys = [service.create(), service.create()];
    let used: BTreeSet<_> =
        keys.iter().map(|key| format!("used alice {}", key.info().id)).collect();
    service.events.take();
    for _ in 0..3 {
        for _ in 0..100 {
            keys.iter().for_each(|key| drop(service.verify(key.key()).unwrap()));
        }
        let events = service.events.take();
        assert_eq!(events.len(), 2, "{events:?}");
        assert_eq!(events.into_iter().collect::<BTreeSet<_>>(), used);
        service.clock.advance(Duration::from_millis(59_999));
        service.verify(keys[0].key()).unwrap();
        assert!(service.events.take().is_empty());
        service.clock.advance(Duration::from_millis(1));
    }
    // A time from before the clock was set back is not used.
    service.verify(keys[0].key()).unwrap();
    service.events.take();
    service.clock.set(UNIX_EPOCH + Duration::from_secs(1_000_000_000));
    service.verify(keys[0].key()).unwrap();
    assert_eq!(service.events.take().len(), 1);
    // Rejected keys are not used.
    service.clock.advance(Duration::from_secs(60));
    service.accounts.set("alice", None);
    service.verify(keys[0].key()).unwrap_err();
    assert!(service.events.take().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_uses_of_a_key_are_reported_once() {
    for _ in 0..20 {
        let service = Fixture::new();
        let key = service.create().key().to_owned();
        let gate = service.store.close_gate();
        let uses = (0..64).map(|_| tokio::spawn(service.keys.verify(&key)));
        let uses: Vec<_> = uses.collect();
        gate.add_permits(64);
        join_all(uses).await;
        let used = service.events.take().into_iter().filter(|event| event.starts_with("used"));
        assert_eq!(used.count(), 1);
    }
}

/// Only the end of a key counts: another instance can be ahead, or the clock was set back.
#[test]
fn key_that_was_created_in_the_future_is_accepted() {
    let service = Fixture::new();
    let request = NewApiKey::new("short").lifetime(Duration::from_secs(60));
    let created = now(service.keys.create(&service.caller("alice"), request)).unwrap();
    service.clock.set(service.clock.now() - DAY);
    assert!(service.verify(created.key()).is_ok());
    service.clock.advance(DAY + Duration::from_secs(60));
    assert_eq!(service.reason(created.key()), InvalidApiKey::Expired);
}

#[test]
fn clock_at_its_limits_causes_no_panic() {
    let service = Fixture::new();
    let key = service.create();
    for time in [
        UNIX_EPOCH,
        UNIX_EPOCH - Duration::from_nanos(1),
        UNIX_EPOCH - Duration::from_secs(1 << 40),
        UNIX_EPOCH + Duration::from_secs(i64::MAX as u64),
    ] {
        service.clock.set(time);
        let _ = service.verify(key.key());
        let _ = service.verify(&unknown_key());
        let _ = now(service.keys.dangerous_create_for("alice", NewApiKey::new("")));
        let _ = now(service.keys.revoke("alice", &key.info().id));
    }
}
