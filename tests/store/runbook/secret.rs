//! The secret of the store, which seals its records.

use std::time::Duration;

use tower_auth::{
    JwtAuth,
    issue::{KeyUse, SigningKeys},
    store::{Purpose, StoreSecret},
    test_util::{TestClock, TokenMint},
};

use super::{
    Instance, SECOND, World,
    forger::{StolenKeys, StolenSecret},
    is, secret,
};
use crate::revocation::test_store::key;

/// A secret and the one before it, during a planned rotation.
fn both(current: u8, previous: u8) -> StoreSecret {
    secret(current).previous(key(previous)).unwrap()
}

fn partner(mint: &TokenMint, instance: &Instance, clock: &TestClock) -> JwtAuth {
    let revocations = instance.issuer.revocations().clone();
    mint.validator("orders").clock(clock.clone()).revocations(revocations).build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn new_secret_without_the_old_one_ends_the_access_of_a_writer_with_the_secret() {
    let world = World::new();
    let here = world.start().await;
    let alice = here.log_in("alice").await;
    let session = here.start_session("alice").await;
    let api_key = here.create_key(&alice.access).await;
    let mint = TokenMint::new("https://partner.example").clock(world.clock.clone());
    let revoked = mint.token("carol").audience("orders").sign();
    let accepting = partner(&mint, &here, &world.clock);
    let carol = accepting.verify(&revoked).await.unwrap();
    here.issuer.revocations().token(&carol).await.unwrap();
    assert!(accepting.verify(&revoked).await.is_err());

    // The thief becomes another user: with the signing keys, and by a change of an own session.
    let thief = StolenSecret::new(1);
    let own = here.log_in("mallory").await;
    let cookie = here.start_session("mallory").await;
    let [keys] = &thief.keys(&world.store)[..] else { panic!() };
    let forged = keys.token_for("admin", &own.access, 0);
    assert_eq!(thief.change(&world.store, Purpose::Session, r#""mallory""#, r#""admin""#), 1);
    let has_access = async |instance: &Instance| {
        (instance.token_user(&forged).await, instance.session_user(&cookie).await)
    };
    assert_eq!(has_access(&here).await, (Some("admin".into()), Some("admin".into())));

    // With the old secret as the previous one, what the thief has written is still read.
    let here = world.config(both(2, 1)).start().await;
    assert_eq!(has_access(&here).await, (Some("admin".into()), Some("admin".into())));

    let here = world.config(secret(3)).start().await;
    assert_eq!(has_access(&here).await, (None, None));
    thief.change(&world.store, Purpose::Session, "admin", "admin");
    assert_eq!(has_access(&here).await, (None, None));
    // All users have to log in again. API keys are not in this store.
    assert!(here.token_user(&alice.access).await.is_none());
    assert!(here.refresh(&alice.refresh).await.is_none());
    assert!(here.session_user(&session).await.is_none());
    assert!(is(&here.key_user(&api_key).await, "alice"));
    world.advance(SECOND);
    let alice = here.log_in("alice").await;
    assert!(is(&here.token_user(&alice.access).await, "alice"));
    assert!(here.refresh(&alice.refresh).await.is_some());

    // The revocations are lost. Tokens of other issuers are accepted again until they are revoked.
    let accepting = partner(&mint, &here, &world.clock);
    assert!(accepting.verify(&revoked).await.is_ok());
    here.issuer.revocations().issuer("https://partner.example").await.unwrap();
    assert!(accepting.verify(&revoked).await.is_err());
    world.advance(SECOND);
    assert!(accepting.verify(&mint.token("carol").audience("orders").sign()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn new_secret_ends_logins_whose_keys_are_in_a_file() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let start = async |number| {
        let keys = SigningKeys::eddsa().in_file(folder.path().join("keys.json"));
        world.config(secret(number)).with_keys(keys).start().await
    };
    let here = start(1).await;
    let alice = here.log_in("alice").await;
    world.advance(SECOND);
    let again = start(1).await;
    assert!(is(&again.token_user(&alice.access).await, "alice"));
    let here = start(2).await;
    assert!(here.token_user(&alice.access).await.is_none());
    assert!(here.refresh(&alice.refresh).await.is_none());
    // The keys are the same, so they have to be removed as well if the file was read.
    let (new, ids) = (here.log_in("alice").await, again.issuer.keys().await.unwrap());
    assert!(is(&here.token_user(&new.access).await, "alice"));
    let kept = here.issuer.keys().await.unwrap();
    assert!(kept.iter().zip(&ids).all(|(kept, id)| kept.id() == id.id()));
}

#[tokio::test(flavor = "multi_thread")]
async fn planned_rotation_and_removed_keys_end_the_access_of_a_reader_without_a_logout() {
    let world = World::new();
    let here = world.start().await;
    let alice = here.log_in("alice").await;
    let session = here.start_session("alice").await;
    let own = here.log_in("mallory").await;
    let thief = StolenSecret::new(1);
    let forge = |keys: &[StolenKeys]| -> Vec<String> {
        let all = keys.iter().flat_map(|keys| {
            let count = keys.signing_ids().len();
            (0..count).map(|at| keys.token_for("admin", &own.access, at))
        });
        all.collect()
    };
    let access = async |instance: &Instance, tokens: &[String]| {
        let mut count = 0;
        for token in tokens {
            count += usize::from(instance.token_user(token).await.is_some());
        }
        count
    };
    assert_eq!(access(&here, &forge(&thief.keys(&world.store))).await, 2);

    // Removed too early, the keys are replaced by keys that the thief can read as well.
    remove_signing_keys(&here).await;
    let forged = forge(&thief.keys(&world.store));
    world.advance(10 * SECOND);
    let before = world.start().await;
    assert_eq!(access(&before, &forged).await, 2);

    let first = world.config(both(1, 2)).start().await;
    assert!(is(&first.session_user(&session).await, "alice"));
    let second = world.config(both(2, 1)).start().await;
    assert!(is(&second.session_user(&session).await, "alice"));
    // The rotation alone changes no key of the issuer.
    assert_eq!(access(&second, &forged).await, 2);
    remove_signing_keys(&second).await;
    world.advance(10 * SECOND);
    for token in forged.iter().chain(&forge(&thief.keys(&world.store))) {
        second.wait_until_rejected(token).await;
    }
    // The new keys are sealed with the new secret.
    let new = StolenSecret::new(2).keys(&world.store);
    assert_eq!(access(&second, &forge(&new)).await, 2);

    // No user was logged out.
    assert!(is(&second.session_user(&session).await, "alice"));
    let refreshed = second.refresh(&alice.refresh).await.unwrap();
    assert!(is(&second.token_user(&refreshed.access).await, "alice"));
    // The old secret is removed when the last session from before has ended.
    world.advance(Duration::from_secs(12 * 60 * 60));
    let session = second.start_session("alice").await;
    let last = world.config(secret(2)).start().await;
    assert!(is(&last.session_user(&session).await, "alice"));
}

async fn remove_signing_keys(instance: &Instance) {
    for key in instance.issuer.keys().await.unwrap() {
        if key.key_use() == KeyUse::Signing {
            instance.issuer.remove_key(key.id()).await.unwrap();
        }
    }
}
