//! Logout and revocation.

use serde_json::json;

use super::{Setup, Tokens, assert_error, checked};
use tower_auth_test_support::api::Reply;

#[tokio::test]
async fn logout_ends_the_login_and_is_repeatable() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    let (tokens, other) = (client.tokens().await, client.tokens().await);
    let next = Tokens::of(&client.refresh(&tokens.refresh).await);
    for _ in 0..2 {
        let form = format!("refresh_token={}", tokens.refresh);
        let reply = client.form("/logout", &form).await;
        assert_eq!((reply.status.as_u16(), &*reply.body), (204, ""));
    }
    for access in [&tokens.access, &next.access] {
        assert_eq!(client.status(access).await, 401);
    }
    assert_error(&client.refresh(&next.refresh).await, 400, "invalid_grant");
    assert_eq!(client.status(&other.access).await, 200);
    for unknown in ["x", &tokens.access, "a.0.b.c"] {
        assert_eq!(client.log_out(unknown).await.status, 204);
    }
    assert_eq!(client.status(&other.access).await, 200);
}

#[tokio::test]
async fn logout_everywhere_ends_all_logins_of_the_caller() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    let (tokens, other) = (client.tokens().await, client.tokens().await);
    let reply = client.log_out_everywhere(&tokens.access).await;
    assert_eq!((reply.status.as_u16(), &*reply.body), (204, ""));
    for tokens in [&tokens, &other] {
        assert_eq!(client.status(&tokens.access).await, 401);
        assert_error(&client.refresh(&tokens.refresh).await, 400, "invalid_grant");
    }
    let new = client.tokens().await;
    assert_eq!(client.status(&new.access).await, 200);
}

#[tokio::test]
async fn logout_everywhere_needs_a_valid_access_token() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    let tokens = client.tokens().await;
    let missing = checked(Reply::to(client.post("/logout/all")).await);
    assert_error(&missing, 401, "invalid_token");
    // Without an error, because no credentials were sent (RFC 6750 §3.1).
    assert_eq!(missing.challenges(), ["Bearer"]);
    for invalid in [&*tokens.refresh, "x"] {
        let reply = client.log_out_everywhere(invalid).await;
        assert_error(&reply, 401, "invalid_token");
        assert!(reply.challenges()[0].contains(r#"error="invalid_token""#), "{reply:?}");
    }
    let twice = client.post("/logout/all").bearer_auth(&tokens.access);
    let reply = checked(Reply::to(twice.bearer_auth(&tokens.access)).await);
    assert_error(&reply, 400, "invalid_request");
    setup.events.take();
    let basic = client.post("/logout/all").basic_auth("alice", Some(super::PASSWORD));
    assert_error(&checked(Reply::to(basic).await), 401, "invalid_token");
    let events = setup.events.take();
    assert!(events[0].contains("there is an Authorization header"), "{events:?}");
    assert_eq!(client.status(&tokens.access).await, 200);
}

#[tokio::test]
async fn revoked_refresh_token_ends_its_login() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    for hint in ["", "&token_type_hint=refresh_token", "&token_type_hint=access_token"] {
        let tokens = client.tokens().await;
        let reply = client.form("/revoke", &format!("token={}{hint}", tokens.refresh)).await;
        assert_eq!((reply.status.as_u16(), &*reply.body), (200, ""));
        assert_eq!(client.status(&tokens.access).await, 401);
        assert_error(&client.refresh(&tokens.refresh).await, 400, "invalid_grant");
    }
}

#[tokio::test]
async fn revoked_access_token_is_rejected_and_its_login_continues() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    let tokens = client.tokens().await;
    let parameters = json!({ "token": tokens.access, "token_type_hint": "refresh_token" });
    for _ in 0..2 {
        assert_eq!(client.json("/revoke", &parameters).await.status, 200);
        assert_eq!(client.status(&tokens.access).await, 401);
    }
    let next = Tokens::of(&client.refresh(&tokens.refresh).await);
    assert_eq!(client.status(&next.access).await, 200);
}

#[tokio::test]
async fn invalid_token_is_revoked_with_200() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    let tokens = client.tokens().await;
    setup.advance(11 * 60);
    let foreign = Setup::new().serve(Setup::new().builder()).await.tokens().await;
    let huge = "x.".repeat(2).to_owned() + &"y".repeat(8_000);
    for invalid in ["x", "a.b.c", "..", &tokens.access, &foreign.access, &foreign.refresh, &huge] {
        let reply = client.json("/revoke", &json!({ "token": invalid })).await;
        assert_eq!((reply.status.as_u16(), &*reply.body), (200, ""), "{invalid}");
    }
    assert_eq!(client.refresh(&tokens.refresh).await.status, 200);
}
