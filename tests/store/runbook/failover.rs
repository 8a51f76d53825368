//! A failover of the store to an old copy.

use tower_auth_test_support::stub::wait_until;

use super::{SECOND, World, forger::StolenSecret, is, secret};

#[tokio::test(flavor = "multi_thread")]
async fn process_that_has_seen_the_later_state_logs_all_users_out() {
    let world = World::new();
    let here = world.start().await;
    let (ended, bob) = (here.start_session("alice").await, here.start_session("bob").await);
    let tokens = here.log_in("bob").await;
    assert!(is(&here.session_user(&ended).await, "alice"));
    let copy = world.store.snapshot();
    here.sessions.end_all("alice").await.unwrap();
    assert!(here.session_user(&ended).await.is_none());
    assert!(is(&here.token_user(&tokens.access).await, "bob"));
    world.advance(10 * SECOND);
    world.store.restore(&copy);

    for cookie in [&ended, &bob] {
        assert!(here.session_user(cookie).await.is_none());
    }
    assert!(here.token_user(&tokens.access).await.is_none());
    assert!(here.refresh(&tokens.refresh).await.is_none());
    assert_eq!(world.events.take("store_reverted"), 1);
    // Also by a process that has not seen it.
    let later = world.start().await;
    assert!(later.session_user(&ended).await.is_none());
    world.advance(SECOND);
    let tokens = later.log_in("bob").await;
    assert!(is(&here.token_user(&tokens.access).await, "bob"));
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_key_that_an_old_copy_restores_has_to_be_removed_again() {
    let world = World::new();
    let here = world.start().await;
    let own = here.log_in("mallory").await;
    let [stolen] = &StolenSecret::new(1).keys(&world.store)[..] else { panic!() };
    let forged = stolen.token_for("admin", &own.access, 0);
    let id = &stolen.signing_ids()[0];
    let copy = world.store.snapshot();
    assert!(here.issuer.remove_key(id).await.unwrap());
    here.sessions.end_all("alice").await.unwrap();
    world.advance(10 * SECOND);
    here.wait_until_rejected(&forged).await;

    world.store.restore(&copy);
    assert!(here.token_user(&forged).await.is_none());
    world.advance(10 * SECOND);
    let own = here.log_in("mallory").await;
    assert_eq!(world.events.take("store_reverted"), 1);
    // A token that starts later is not among those that the loss of records rejects.
    let forged = stolen.token_for("admin", &own.access, 0);
    let is_accepted = async || is(&here.token_user(&forged).await, "admin");
    wait_until("the removed key is back", is_accepted).await;
    assert!(here.issuer.remove_key(id).await.unwrap());
    world.advance(10 * SECOND);
    here.wait_until_rejected(&forged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_copy_that_no_running_process_has_seen_needs_a_new_secret() {
    let world = World::new();
    let here = world.start().await;
    let (ended, bob) = (here.start_session("alice").await, here.log_in("bob").await);
    // A signing key that was stolen was removed after the copy was made.
    let own = here.log_in("mallory").await;
    let [stolen] = &StolenSecret::new(1).keys(&world.store)[..] else { panic!() };
    let forged = stolen.token_for("admin", &own.access, 0);
    let copy = world.store.snapshot();
    here.sessions.end_all("alice").await.unwrap();
    assert!(here.issuer.remove_key(&stolen.signing_ids()[0]).await.unwrap());
    world.advance(10 * SECOND);
    here.wait_until_rejected(&forged).await;
    assert!(here.session_user(&ended).await.is_none());
    drop(here);

    world.store.restore(&copy);
    world.events.take("store_reverted");
    let here = world.start().await;
    assert!(is(&here.session_user(&ended).await, "alice"), "nothing was detected");
    assert!(is(&here.token_user(&forged).await, "admin"));
    assert_eq!(world.events.take("store_reverted"), 0);
    // A revocation of all logins ends the session. The removed key still signs.
    here.log_out_everyone().await;
    assert!(here.session_user(&ended).await.is_none());
    world.advance(SECOND);
    let own = here.log_in("mallory").await;
    let forged = stolen.token_for("admin", &own.access, 0);
    assert!(is(&here.token_user(&forged).await, "admin"));

    let here = world.config(secret(2)).start().await;
    assert!(here.token_user(&forged).await.is_none());
    assert!(here.session_user(&ended).await.is_none());
    assert!(here.refresh(&bob.refresh).await.is_none());
    world.advance(SECOND);
    let bob = here.log_in("bob").await;
    assert!(is(&here.token_user(&bob.access).await, "bob"));
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_write_of_a_refresh_is_reported_and_logs_no_user_out() {
    let world = World::new();
    let here = world.start().await;
    let first = here.log_in("alice").await;
    let copy = world.store.snapshot();
    let second = here.refresh(&first.refresh).await.unwrap();
    world.store.restore(&copy);
    let third = here.refresh(&second.refresh).await.unwrap();
    assert_eq!(world.events.take("store_went_back"), 1);
    assert_eq!(world.events.take("store_reverted"), 0);
    assert!(is(&here.token_user(&third.access).await, "alice"));
}
