use std::{sync::Arc, time::Duration};

use serde_json::json;
use tower::ServiceExt as _;
use tower_auth::{clock::Clock as _, revocation::BackchannelLogout};

use super::{FORM, Receiver, Setup, assert_accepted, assert_invalid};

#[tokio::test]
async fn replayed_token_is_rejected_while_it_is_valid() {
    let receiver = Receiver::start().await;
    let setup = &receiver.setup;
    let token = setup.logout_token("alice").expires_in(Duration::from_secs(120)).sign();
    assert_accepted(&receiver.post(&token).await);
    for seconds in [0, 100, 79] {
        setup.clock.advance(Duration::from_secs(seconds));
        assert_invalid(&receiver.post(&token).await, "replay");
        assert!(receiver.last_reason().contains("sent before"), "{}", receiver.last_reason());
    }
    setup.clock.advance(Duration::from_secs(1));
    assert_invalid(&receiver.post(&token).await, "expired");
    assert!(receiver.last_reason().contains("expired"), "{}", receiver.last_reason());
}

#[tokio::test]
async fn jti_is_accepted_once_whatever_the_rest_of_the_token() {
    let receiver = Receiver::start().await;
    let token = |subject| receiver.setup.logout_token(subject).claim("jti", "one").sign();
    assert_accepted(&receiver.post(&token("alice")).await);
    assert_invalid(&receiver.post(&token("bob")).await, "same jti");
    let other = receiver.setup.logout_token("bob").claim("jti", "two").sign();
    assert_accepted(&receiver.post(&other).await);
}

/// Issuers choose the `jti` on their own.
#[tokio::test]
async fn equal_jti_of_another_issuer_is_accepted() {
    const OTHER: &str = "https://other.example";
    let setup = Setup::new();
    let logout = setup.builder().issuer(OTHER).build().unwrap();
    let receiver = setup.serve(logout).await;
    let token = || receiver.setup.logout_token("alice").claim("jti", "one");
    assert_accepted(&receiver.post(&token().sign()).await);
    assert_accepted(&receiver.post(&token().claim("iss", OTHER).sign()).await);
    assert_invalid(&receiver.post(&token().sign()).await, "replay");
    assert_invalid(&receiver.post(&token().claim("iss", OTHER).sign()).await, "replay");
}

/// The instances have the largest leeway, and their clocks differ by as much.
#[tokio::test]
async fn replay_is_rejected_by_an_instance_whose_clock_is_behind() {
    const LEEWAY: Duration = Duration::from_secs(300);
    let setup = Setup::new();
    let token = setup.logout_token("alice").expires_in(Duration::from_secs(120)).sign();
    let clock = setup.clock.clone();
    let behind = setup.builder().leeway(LEEWAY).clock(move || clock.now() - LEEWAY);
    let behind = behind.build().unwrap();
    let logout = setup.builder().leeway(LEEWAY).build().unwrap();
    let post = async |service: &BackchannelLogout| {
        let form = format!("logout_token={token}");
        let request = http::Request::post("/").header(FORM.0, FORM.1).body(form).unwrap();
        service.clone().oneshot(request).await.unwrap().status()
    };
    let last_reason = || setup.reasons.lock().unwrap().last().cloned().unwrap_or_default();
    assert_eq!(post(&logout).await, 200);
    setup.clock.advance(Duration::from_secs(120) + LEEWAY * 2 - Duration::from_secs(1));
    assert_eq!(post(&behind).await, 400);
    assert!(last_reason().contains("sent before"), "{}", last_reason());
    setup.clock.advance(Duration::from_secs(1));
    assert_eq!(post(&behind).await, 400);
    assert!(last_reason().contains("expired"), "{}", last_reason());
}

#[tokio::test]
async fn one_of_64_equal_logout_tokens_is_accepted() {
    for claims in [json!({ "sid": "s" }), json!({})] {
        let receiver = Arc::new(Receiver::start().await);
        let mut token = receiver.setup.logout_token("alice");
        for (name, value) in claims.as_object().unwrap() {
            token = token.claim(name, value);
        }
        let access_token = receiver.setup.access_token("alice", "s");
        let token = token.sign();
        let tasks: Vec<_> = (0..64)
            .map(|_| {
                let (receiver, token) = (Arc::clone(&receiver), token.clone());
                tokio::spawn(async move { receiver.post(&token).await })
            })
            .collect();
        let mut accepted = 0;
        for task in tasks {
            let response = task.await.unwrap();
            match response.status {
                200 => accepted += 1,
                _ => assert_invalid(&response, "replay"),
            }
        }
        assert_eq!(accepted, 1);
        assert_eq!(receiver.status(&access_token).await, 401);
    }
}
