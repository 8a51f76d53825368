//! Several sessions of a user: the list, and ending some or all of them.

use tower_auth_test_support::user_agent::UserAgent;

use super::{MINUTE, Setup};

#[tokio::test]
async fn list_has_the_sessions_of_the_caller_the_latest_first() {
    let setup = Setup::new();
    let service = setup.serve().await;
    let mut ids: Vec<String> = Vec::new();
    for _ in 0..3 {
        setup.clock.advance(MINUTE);
        let browser = service.browser_of("alice").await;
        let _other = service.browser_of("bob").await;
        let listed = service.sessions(&browser).await;
        assert_eq!(listed[1..], ids[..], "the older ones");
        ids = listed;
    }
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn user_ends_one_of_the_own_sessions() {
    let setup = Setup::new();
    let service = setup.serve().await;
    let [laptop, phone] = [service.browser_of("alice").await, service.browser_of("alice").await];
    let own = id_of(&service, &laptop).await;
    assert_eq!(service.post(&phone, &format!("/sessions/{own}/end")).await.status, 204);
    assert_eq!(service.status(&laptop, "/me").await, 401);
    assert_eq!(service.status(&phone, "/me").await, 200);
    assert_eq!(service.post(&phone, &format!("/sessions/{own}/end")).await.status, 404);
}

#[tokio::test]
async fn user_cannot_end_a_session_of_another_user() {
    let setup = Setup::new();
    let service = setup.serve().await;
    let [alice, bob] = [service.browser_of("alice").await, service.browser_of("bob").await];
    let id = id_of(&service, &alice).await;
    let cookie = service.cookie(&alice).unwrap();
    for id in [&*id, &cookie, "x", "AAAAAAAAAAAAAAAAAAAAAA", "%2e%2e", "*"] {
        assert_eq!(service.post(&bob, &format!("/sessions/{id}/end")).await.status, 404, "{id}");
    }
    assert_eq!(service.status(&alice, "/me").await, 200);
    assert_eq!(service.status(&bob, "/me").await, 200);
}

#[tokio::test]
async fn end_all_ends_all_sessions_of_this_user_only() {
    let setup = Setup::new();
    let service = setup.serve().await;
    let alice = [service.browser_of("alice").await, service.browser_of("alice").await];
    let bob = service.browser_of("bob").await;
    assert_eq!(service.post(&alice[0], "/logout/all").await.status, 204);
    for browser in &alice {
        assert_eq!(service.status(browser, "/me").await, 401);
    }
    assert_eq!(service.status(&bob, "/me").await, 200);
    // A login at the same instant of the clock is after the logout.
    let again = service.browser_of("alice").await;
    assert_eq!(service.status(&again, "/me").await, 200);
    assert_eq!(service.sessions(&again).await.len(), 1);
}

/// A user without an issuer, and one of a provider with the same subject.
#[tokio::test]
async fn users_of_different_issuers_with_one_subject_are_different_users() {
    use axum::{Router, extract::State, http::request::Parts, routing::post};
    use tower_auth::{Principal, Rejection, Scheme, session::Sessions};

    let setup = Setup::new();
    let provider = async |State(sessions): State<Sessions>, head: Parts| {
        let alice = Principal::builder("alice", Scheme::BEARER).issuer("https://idp.example");
        let mut response = axum::response::Response::new(axum::body::Body::empty());
        sessions.start(&alice.build(), &head, &mut response).await?;
        Ok::<_, Rejection>(response)
    };
    let router = Router::new().route("/login-at-provider", post(provider));
    let router = router.with_state(setup.sessions.clone());
    let service = super::Service::start(setup.app().merge(router)).await;
    let local = service.browser_of("alice").await;
    let remote = UserAgent::new();
    assert_eq!(service.post(&remote, "/login-at-provider").await.status, 200);
    assert_eq!(service.sessions(&local).await.len(), 1);
    assert_eq!(service.sessions(&remote).await.len(), 1);
    let id = id_of(&service, &local).await;
    assert_eq!(service.post(&remote, &format!("/sessions/{id}/end")).await.status, 404);
    assert_eq!(service.post(&remote, "/logout/all").await.status, 204);
    assert_eq!(service.status(&local, "/me").await, 200);
    assert_eq!(service.status(&remote, "/me").await, 401);
}

#[tokio::test]
async fn hundred_and_first_session_ends_the_oldest() {
    let setup = Setup::new();
    let service = setup.serve().await;
    let first = service.browser_of("alice").await;
    let mut last = first.clone();
    for _ in 0..100 {
        setup.clock.advance(std::time::Duration::from_millis(10));
        last = service.browser_of("alice").await;
    }
    assert_eq!(service.sessions(&last).await.len(), 100);
    assert_eq!(service.status(&first, "/me").await, 401);
    assert_eq!(service.status(&last, "/me").await, 200);
}

/// Returns the public id of the session of a browser.
async fn id_of(service: &super::Service, browser: &UserAgent) -> String {
    let reply = service.get(browser, "/claims").await;
    let claims: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    claims["session"].as_str().unwrap().to_owned()
}
