//! One credential of one user: a refresh token, an API key, an access token or a session.

use std::time::Duration;

use serde_json::json;
use tower_auth::{api_key::ApiKeyInfo, bearer::TokenVerifier as _};

use super::{ISSUER, MINUTE, SECOND, World, is};

#[tokio::test(flavor = "multi_thread")]
async fn refresh_token_that_thief_and_user_have_used_ends_its_login_alone() {
    let world = World::new();
    let (here, other) = (world.start().await, world.start().await);
    let alice = here.log_in("alice").await;
    let on_phone = here.log_in("alice").await;
    let by_thief = here.refresh(&alice.refresh).await.unwrap();
    for instance in [&here, &other] {
        assert!(is(&instance.token_user(&by_thief.access).await, "alice"));
    }
    world.advance(41 * SECOND);
    let by_thief = here.refresh(&by_thief.refresh).await.unwrap();
    world.advance(41 * SECOND);
    assert!(is(&other.token_user(&by_thief.access).await, "alice"));
    assert_eq!(world.events.take("refresh_token_reused"), 0);
    assert!(here.refresh(&alice.refresh).await.is_none());
    assert_eq!(world.events.take("refresh_token_reused"), 1);
    assert!(here.refresh(&by_thief.refresh).await.is_none());
    // At once in this process, and after 5 s in the others.
    assert!(here.token_user(&by_thief.access).await.is_none());
    assert!(is(&other.token_user(&by_thief.access).await, "alice"));
    world.advance(5 * SECOND);
    assert!(other.token_user(&by_thief.access).await.is_none());
    assert!(here.refresh(&on_phone.refresh).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn logout_with_any_token_of_a_login_ends_the_access_of_a_thief() {
    let world = World::new();
    let here = world.start().await;
    let (alice, bob) = (here.log_in("alice").await, here.log_in("bob").await);
    let on_phone = here.log_in("alice").await;
    let by_thief = here.refresh(&alice.refresh).await.unwrap();

    // To revoke the access token is not enough.
    let caller = here.issuer.verifier().verify(&by_thief.access).await.unwrap();
    here.issuer.revocations().token(&caller).await.unwrap();
    assert!(here.token_user(&by_thief.access).await.is_none());
    world.advance(41 * SECOND);
    let by_thief = here.refresh(&by_thief.refresh).await.unwrap();
    assert!(is(&here.token_user(&by_thief.access).await, "alice"));

    // The operator has the token from before the theft.
    here.issuer.logout(&alice.refresh).await.unwrap();
    assert!(here.refresh(&by_thief.refresh).await.is_none());
    assert!(here.token_user(&by_thief.access).await.is_none());
    assert!(here.refresh(&on_phone.refresh).await.is_some());
    assert!(here.refresh(&bob.refresh).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn logout_everywhere_ends_a_stolen_login_and_not_the_sessions() {
    let world = World::new();
    let (here, other) = (world.start().await, world.start().await);
    let (alice, bob) = (here.log_in("alice").await, here.log_in("bob").await);
    let session = here.start_session("alice").await;
    let by_thief = here.refresh(&alice.refresh).await.unwrap();
    assert!(is(&other.token_user(&by_thief.access).await, "alice"));

    here.issuer.logout_everywhere("alice").await.unwrap();
    assert!(here.refresh(&by_thief.refresh).await.is_none());
    assert!(other.refresh(&by_thief.refresh).await.is_none());
    assert!(here.token_user(&by_thief.access).await.is_none());
    world.advance(5 * SECOND);
    assert!(other.token_user(&by_thief.access).await.is_none());
    assert!(here.refresh(&bob.refresh).await.is_some());
    assert!(is(&here.session_user(&session).await, "alice"));
    here.sessions.end_all("alice").await.unwrap();
    assert!(other.session_user(&session).await.is_none());
    assert!(here.refresh(&here.log_in("alice").await.refresh).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_api_key_is_rejected_at_the_next_request_of_each_instance() {
    let world = World::new();
    let (here, other) = (world.start().await, world.start().await);
    let alice = here.log_in("alice").await;
    let stolen = here.create_key(&alice.access).await;
    let unaffected = here.create_key(&alice.access).await;
    // A logout and a rotation with an overlap do not end it.
    here.issuer.logout_everywhere("alice").await.unwrap();
    world.advance(SECOND);
    let alice = here.log_in("alice").await;
    let caller = here.issuer.verifier().verify(&alice.access).await.unwrap();
    let id = stolen.split('_').nth(1).unwrap();
    let overlap = Duration::from_secs(86_400);
    let new = here.api_keys.rotate(&caller, id, overlap).await.unwrap();
    assert!(is(&other.key_user(&stolen).await, "alice"));

    // The owner and the id follow from the key.
    let found = here.api_keys.verify(&stolen).await.unwrap();
    assert_eq!((found.subject(), &*found.extension::<ApiKeyInfo>().unwrap().id), ("alice", id));
    here.api_keys.revoke(found.subject(), id).await.unwrap();
    assert_eq!(world.events.take("api_key_revoked"), 1);
    for instance in [&here, &other] {
        assert!(instance.key_user(&stolen).await.is_none());
        assert!(is(&instance.key_user(&unaffected).await, "alice"));
        assert!(is(&instance.key_user(new.key()).await, "alice"));
        assert!(is(&instance.token_user(&alice.access).await, "alice"));
    }
    here.api_keys.revoke_all("alice").await.unwrap();
    assert!(other.key_user(&unaffected).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_access_token_is_rejected_and_its_login_continues() {
    let world = World::new();
    let (here, other) = (world.start().await, world.start().await);
    let elsewhere = here.other_service(&world.clock);
    let alice = here.log_in("alice").await;
    assert!(is(&other.token_user(&alice.access).await, "alice"));
    assert!(elsewhere.verify(&alice.access).await.is_ok());

    let reply = here.post("/revoke", json!({ "token": alice.access })).await;
    assert_eq!(reply.status, 200);
    assert!(here.token_user(&alice.access).await.is_none());
    assert!(is(&other.token_user(&alice.access).await, "alice"));
    world.advance(5 * SECOND);
    assert!(other.token_user(&alice.access).await.is_none());
    assert!(here.refresh(&alice.refresh).await.is_some());
    // A service without the store accepts it until it expires: 10 min, and 60 s of leeway.
    world.advance(10 * MINUTE + 54 * SECOND);
    assert!(elsewhere.verify(&alice.access).await.is_ok());
    world.advance(2 * SECOND);
    assert!(elsewhere.verify(&alice.access).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_session_is_rejected_at_once_by_each_instance() {
    let world = World::new();
    let (here, other) = (world.start().await, world.start().await);
    let stolen = here.start_session("alice").await;
    world.advance(SECOND);
    let unaffected = here.start_session("alice").await;
    let alice = here.log_in("alice").await;
    for instance in [&here, &other] {
        assert!(is(&instance.session_user(&stolen).await, "alice"));
    }
    // The latest is the first.
    let list = here.sessions.list("alice").await.unwrap();
    assert!(here.sessions.end_one("alice", list[1].id()).await.unwrap());
    for instance in [&here, &other] {
        assert!(instance.session_user(&stolen).await.is_none());
        assert!(is(&instance.session_user(&unaffected).await, "alice"));
        assert!(is(&instance.token_user(&alice.access).await, "alice"));
    }
    // A subject of the issuer of tokens is not the same user as one without an issuer.
    here.sessions.end_all((ISSUER, "alice")).await.unwrap();
    assert!(is(&other.session_user(&unaffected).await, "alice"));
    here.sessions.end_all("alice").await.unwrap();
    assert!(other.session_user(&unaffected).await.is_none());
}
