//! Key rotation and tokens with an unknown `kid`.

use std::time::Duration;

use tower_auth::jwt::Jwks;
use tower_auth_test_support::{
    stub::{StubResponse, StubServer, wait_until},
    token::{Signer, claims},
};

use crate::{Service, signers};

#[tokio::test(flavor = "multi_thread")]
async fn valid_tokens_are_accepted_during_rotation() {
    let stub = StubServer::start();
    let rotated = signers(["0", "1", "2", "3", "4", "5"]);
    stub.publish_keys([rotated[0].jwk()]);
    let cooldown = Duration::from_millis(100);
    let service = Service::with(Jwks::url(stub.url("/jwks")).cooldown(cooldown)).await;
    for rotation in 1..rotated.len() {
        stub.publish_keys(rotated[rotation - 1..=rotation].iter().map(Signer::jwk));
        let tokens = [rotation - 1, rotation].map(|at| rotated[at].token(&claims()));
        let requests = (0..40).map(|at| service.status(&tokens[at % 2]));
        let statuses = futures_util::future::join_all(requests).await;
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
        assert!(stub.hits("/jwks") <= rotation + 1, "{}", stub.hits("/jwks"));
        service.clock.advance(1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_unknown_kids_cause_one_fetch_and_do_not_delay_others() {
    let (stub, [known, other]) = (StubServer::start(), signers(["good", "other"]));
    stub.publish_keys([known.jwk()]);
    let service = Service::start(&stub).await;
    assert_eq!(service.status(&known.token(&claims())).await, 200);
    // The fetch for the unknown ids hangs.
    stub.set_response("/jwks", StubResponse::Hang);
    let flood: Vec<_> = (0..50)
        .map(|at| {
            let header = serde_json::json!({ "alg": "ES256", "kid": format!("unknown {at}") });
            other.token_with(&header, &claims())
        })
        .collect();
    let flood = flood.iter().map(|token| service.status(token));
    let known_requests = async {
        wait_until("a fetch for the unknown ids", async || stub.hits("/jwks") == 2).await;
        for _ in 0..20 {
            assert_eq!(service.status(&known.token(&claims())).await, 200);
        }
        stub.publish_keys([known.jwk()]);
    };
    let (statuses, ()) = tokio::join!(futures_util::future::join_all(flood), known_requests);
    assert!(statuses.iter().all(|status| *status == 401), "{statuses:?}");
    assert_eq!(stub.hits("/jwks"), 2);
}

#[tokio::test]
async fn removed_key_is_rejected_after_the_next_fetch() {
    let (stub, [old, new]) = (StubServer::start(), signers(["old", "new"]));
    stub.publish_keys([old.jwk(), new.jwk()]);
    let service = Service::start(&stub).await;
    assert_eq!(service.status(&old.token(&claims())).await, 200);
    stub.publish_keys([new.jwk()]);
    service.clock.advance(520);
    assert_eq!(service.status(&new.token(&claims())).await, 200);
    wait_until("the removal of the old key", async || {
        service.status(&old.token(&claims())).await == 401
    })
    .await;
    stub.publish_keys([]);
    service.clock.advance(520);
    assert_eq!(service.status(&old.token(&claims())).await, 401);
    wait_until("an empty key set", async || service.health().key_ids().count() == 0).await;
}

#[tokio::test]
async fn keys_without_kid_are_rotated() {
    let (stub, [mut old, mut new, mut newer]) = (StubServer::start(), signers(["", "", ""]));
    (old.id, new.id, newer.id) = (None, None, None);
    stub.publish_keys([old.jwk()]);
    let service = Service::start(&stub).await;
    assert_eq!(service.status(&old.token(&claims())).await, 200);
    stub.publish_keys([new.jwk()]);
    assert_eq!(service.status(&new.token(&claims())).await, 200);
    assert_eq!(service.status(&old.token(&claims())).await, 401);
    // Requests with an old token do not prevent the fetch for the next key.
    service.clock.advance(31);
    assert_eq!(service.status(&old.token(&claims())).await, 401);
    stub.publish_keys([newer.jwk()]);
    service.clock.advance(31);
    assert_eq!(service.status(&newer.token(&claims())).await, 200);
}

#[tokio::test]
async fn changed_file_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jwks.json");
    let secret = Signer::generate("HS256", "secret");
    let [one, two] = signers(["1", "2"]);
    let write = |keys: &[&Signer]| {
        let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
        let new = dir.path().join("new");
        std::fs::write(&new, serde_json::json!({ "keys": keys }).to_string()).unwrap();
        std::fs::rename(new, &path).unwrap();
    };
    write(&[&one, &secret]);
    let service = Service::with(Jwks::file(&path)).await;
    assert_eq!(service.status(&one.token(&claims())).await, 200);
    assert_eq!(service.status(&secret.token(&claims())).await, 200);
    write(&[&two]);
    assert_eq!(service.status(&two.token(&claims())).await, 200);
    std::fs::write(&path, "{").unwrap();
    service.clock.advance(20);
    assert_eq!(service.status(&two.token(&claims())).await, 200);
    wait_until("a failure", async || service.health().failures() > 0).await;
    assert_eq!(service.status(&two.token(&claims())).await, 200);
}

#[tokio::test]
async fn key_removed_from_a_file_is_rejected_within_ten_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jwks.json");
    let [kept, removed] = signers(["kept", "removed"]);
    let write = |keys: &[&Signer]| {
        let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
        std::fs::write(&path, serde_json::json!({ "keys": keys }).to_string()).unwrap();
    };
    write(&[&kept, &removed]);
    let service = Service::with(Jwks::file(&path)).await;
    assert_eq!(service.status(&removed.token(&claims())).await, 200);
    write(&[&kept]);
    // A read is due after 8.5 s at the latest. The timer of the task follows real time, so a
    // request triggers it here.
    service.clock.advance(9);
    assert_eq!(service.status(&kept.token(&claims())).await, 200);
    wait_until("a read", async || service.health().key_ids().eq(["kept"])).await;
    assert_eq!(service.status(&removed.token(&claims())).await, 401);
    assert_eq!(service.status(&kept.token(&claims())).await, 200);
}

#[tokio::test]
async fn file_is_read_again_without_requests() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jwks.json");
    let [old, new] = signers(["old", "new"]);
    let write = |key: &Signer| {
        std::fs::write(&path, serde_json::json!({ "keys": [key.jwk()] }).to_string()).unwrap();
    };
    write(&old);
    let service = Service::with(Jwks::file(&path).refresh(Duration::from_millis(100))).await;
    wait_until("the old key", async || service.health().key_ids().eq(["old"])).await;
    write(&new);
    wait_until("the new key", async || service.health().key_ids().eq(["new"])).await;
    assert_eq!(service.status(&old.token(&claims())).await, 401);
}

/// A damaged file must not delay the next read by more than the interval.
#[tokio::test]
async fn repaired_file_is_read_within_ten_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jwks.json");
    let [kept, removed] = signers(["kept", "removed"]);
    let set = |keys: &[&Signer]| {
        let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
        serde_json::json!({ "keys": keys }).to_string()
    };
    std::fs::write(&path, set(&[&kept, &removed])).unwrap();
    let service = Service::with(Jwks::file(&path)).await;
    let mut claims = claims();
    claims["exp"] = 4_102_444_800_u64.into();
    assert_eq!(service.status(&removed.token(&claims)).await, 200);
    std::fs::write(&path, "{").unwrap();
    for failures in 1..8 {
        service.clock.advance(10);
        assert_eq!(service.status(&removed.token(&claims)).await, 200);
        wait_until("a failure", async || service.health().failures() >= failures).await;
        let next = service.health().next_refresh();
        assert!(next <= Duration::from_secs(10), "{next:?}");
    }
    std::fs::write(&path, set(&[&kept])).unwrap();
    service.clock.advance(10);
    assert_eq!(service.status(&kept.token(&claims)).await, 200);
    wait_until("a read", async || service.health().failures() == 0).await;
    assert_eq!(service.status(&removed.token(&claims)).await, 401);
}
