//! What a logout revokes.

use std::time::Duration;

use tower_auth::clock::Clock as _;

use super::{Receiver, assert_accepted};

#[tokio::test]
async fn logout_of_a_session_rejects_its_tokens_and_no_others() {
    let receiver = Receiver::start().await;
    let setup = &receiver.setup;
    let [phone, laptop, other] =
        [("alice", "phone"), ("alice", "laptop"), ("bob", "phone-2")].map(|(sub, sid)| {
            let token = setup.access_token(sub, sid);
            (token, setup.logout_token(sub).claim("sid", sid))
        });
    // The subject is not logged out, although the token names it as well.
    assert_accepted(&receiver.post(&phone.1.sign()).await);
    assert_eq!(receiver.status(&phone.0).await, 401);
    assert_eq!(receiver.status(&laptop.0).await, 200);
    assert_eq!(receiver.status(&other.0).await, 200);

    assert_accepted(&receiver.post(&laptop.1.without("sub").sign()).await);
    assert_eq!(receiver.status(&laptop.0).await, 401);
    assert_eq!(receiver.status(&other.0).await, 200);

    // A session has ended for good, also for tokens that are issued later.
    setup.clock.advance(Duration::from_secs(10));
    assert_eq!(receiver.status(&setup.access_token("alice", "phone")).await, 401);
    assert_eq!(receiver.status(&setup.access_token("alice", "tablet")).await, 200);
}

#[tokio::test]
async fn logout_of_a_subject_rejects_tokens_until_the_iat_of_the_logout_token() {
    let receiver = Receiver::start().await;
    let setup = &receiver.setup;
    let start = setup.clock.now();
    let token_at = |seconds| {
        let token = setup.mint.token("alice").audience("orders");
        token.issued_at(start + Duration::from_secs(seconds)).sign()
    };
    let [before, same, later] = [0, 10, 11].map(token_at);
    setup.clock.advance(Duration::from_secs(20));
    let logout = setup.logout_token("alice").issued_at(start + Duration::from_secs(10)).sign();
    assert_accepted(&receiver.post(&logout).await);
    assert_eq!(receiver.status(&before).await, 401);
    assert_eq!(receiver.status(&same).await, 401);
    // The time at which the logout arrives does not matter: the user may have logged in again.
    assert_eq!(receiver.status(&later).await, 200);
    let bob = setup.mint.token("bob").audience("orders").issued_at(start).sign();
    assert_eq!(receiver.status(&bob).await, 200);
}

#[tokio::test]
async fn late_logout_token_does_not_undo_a_newer_logout() {
    let receiver = Receiver::start().await;
    let setup = &receiver.setup;
    let start = setup.clock.now();
    let token_at =
        |seconds| setup.logout_token("alice").issued_at(start + Duration::from_secs(seconds));
    let access_token = setup.mint.token("alice").audience("orders");
    let access_token = access_token.issued_at(start + Duration::from_secs(5)).sign();
    setup.clock.advance(Duration::from_secs(20));
    assert_accepted(&receiver.post(&token_at(10).sign()).await);
    assert_eq!(receiver.status(&access_token).await, 401);
    assert_accepted(&receiver.post(&token_at(1).sign()).await);
    assert_eq!(receiver.status(&access_token).await, 401);
}
