//! Unknown names, one fetch for all, and nobody refused who should not be.

use std::time::Duration;

use tower_auth::jwt::Jwks;
use tower_auth_test_support::{
    stub::{Answer, Stub, until},
    token::{Signer, claims},
};

use crate::{Service, keys};

#[tokio::test(flavor = "multi_thread")]
async fn rotation_under_load_refuses_nobody() {
    let stub = Stub::start();
    let signers = keys(["0", "1", "2", "3", "4", "5"]);
    stub.publish([signers[0].jwk()]);
    let pace = Duration::from_millis(100);
    let service = Service::with(Jwks::url(stub.url("/jwks")).cooldown(pace)).await;
    for rotation in 1..signers.len() {
        stub.publish(signers[rotation - 1..=rotation].iter().map(Signer::jwk));
        let tokens = [rotation - 1, rotation].map(|at| signers[at].token(&claims()));
        let asks = (0..40).map(|at| service.status(&tokens[at % 2]));
        let answers = futures_util::future::join_all(asks).await;
        assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
        assert!(stub.hits("/jwks") <= rotation + 1, "{}", stub.hits("/jwks"));
        service.clock.by(1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_unknown_names_costs_one_fetch_and_harms_nobody() {
    let (stub, [good, other]) = (Stub::start(), keys(["good", "other"]));
    stub.publish([good.jwk()]);
    let service = Service::start(&stub).await;
    assert_eq!(service.status(&good.token(&claims())).await, 200);
    // The fetch that the flood causes does not come back.
    stub.set("/jwks", Answer::Hang);
    let flood: Vec<_> = (0..50)
        .map(|at| {
            let header = serde_json::json!({ "alg": "ES256", "kid": format!("flood {at}") });
            other.token_with(&header, &claims())
        })
        .collect();
    let flood = flood.iter().map(|token| service.status(token));
    let good_ones = async {
        until("the flood's fetch", async || stub.hits("/jwks") == 2).await;
        for _ in 0..20 {
            assert_eq!(service.status(&good.token(&claims())).await, 200);
        }
        stub.publish([good.jwk()]);
    };
    let (answers, ()) = tokio::join!(futures_util::future::join_all(flood), good_ones);
    assert!(answers.iter().all(|status| *status == 401), "{answers:?}");
    assert_eq!(stub.hits("/jwks"), 2);
}

#[tokio::test]
async fn a_name_that_was_looked_for_in_vain_does_not_use_up_the_next_fetch() {
    let (stub, [good, retired, new]) = (Stub::start(), keys(["good", "retired", "new"]));
    stub.publish([good.jwk()]);
    let service = Service::start(&stub).await;
    assert_eq!(service.status(&good.token(&claims())).await, 200);
    assert_eq!(service.status(&retired.token(&claims())).await, 401);
    service.clock.by(31);
    assert_eq!(service.status(&retired.token(&claims())).await, 401);
    assert_eq!(stub.hits("/jwks"), 2, "it was looked for before");
    stub.publish([good.jwk(), new.jwk()]);
    assert_eq!(service.status(&new.token(&claims())).await, 200);
    assert_eq!(stub.hits("/jwks"), 3);
}

#[tokio::test]
async fn a_key_that_is_withdrawn_ends_with_the_next_fetch() {
    let (stub, [old, new]) = (Stub::start(), keys(["old", "new"]));
    stub.publish([old.jwk(), new.jwk()]);
    let service = Service::start(&stub).await;
    assert_eq!(service.status(&old.token(&claims())).await, 200);
    stub.publish([new.jwk()]);
    service.clock.by(520);
    assert_eq!(service.status(&new.token(&claims())).await, 200);
    until("the old key is gone", async || service.status(&old.token(&claims())).await == 401).await;
    stub.publish([]);
    service.clock.by(520);
    assert_eq!(service.status(&old.token(&claims())).await, 401);
    until("no key is left", async || service.health().key_ids().count() == 0).await;
}

#[tokio::test]
async fn keys_without_names_rotate_too() {
    let (stub, [mut old, mut new, mut newer]) = (Stub::start(), keys(["", "", ""]));
    (old.id, new.id, newer.id) = (None, None, None);
    stub.publish([old.jwk()]);
    let service = Service::start(&stub).await;
    assert_eq!(service.status(&old.token(&claims())).await, 200);
    stub.publish([new.jwk()]);
    assert_eq!(service.status(&new.token(&claims())).await, 200);
    assert_eq!(service.status(&old.token(&claims())).await, 401);
    // Nor can the old ones, sent on, keep the next from being found.
    service.clock.by(31);
    assert_eq!(service.status(&old.token(&claims())).await, 401);
    stub.publish([newer.jwk()]);
    service.clock.by(31);
    assert_eq!(service.status(&newer.token(&claims())).await, 200);
}

#[tokio::test]
async fn a_watched_file_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jwks.json");
    let secret = Signer::generate("HS256", "secret");
    let [one, two] = keys(["1", "2"]);
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
    service.clock.by(20);
    assert_eq!(service.status(&two.token(&claims())).await, 200);
    until("a failure", async || service.health().failures() > 0).await;
    assert_eq!(service.status(&two.token(&claims())).await, 200);
}
