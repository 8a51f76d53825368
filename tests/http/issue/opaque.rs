//! Access tokens that are random texts.

use serde_json::json;
use tower_auth::{jwt::TokenError, store::StoreErrorKind};

use super::{Client, Setup, Tokens, assert_error};

fn setup() -> Setup {
    Setup::with(|issuer| issuer.opaque_access_tokens())
}

fn reason(result: Result<tower_auth::Principal, tower_auth::Rejection>) -> Option<TokenError> {
    use std::error::Error as _;

    result.unwrap_err().source()?.downcast_ref::<TokenError>().cloned()
}

async fn statuses(client: &Client, tokens: &[&Tokens]) -> Vec<u16> {
    let mut statuses = Vec::new();
    for tokens in tokens {
        statuses.push(client.status(&tokens.access).await);
    }
    statuses
}

#[tokio::test]
async fn login_refresh_and_logout_have_opaque_tokens() {
    let setup = setup();
    let client = setup.serve(setup.builder()).await;
    let first = client.tokens().await;
    assert!(first.access.starts_with("at_") && !first.access.contains('.'));
    let second = Tokens::of(&client.refresh(&first.refresh).await);
    assert_ne!(first.access, second.access);
    assert_eq!(statuses(&client, &[&first, &second]).await, [200, 200]);
    assert_eq!(client.log_out(&second.refresh).await.status, 204);
    assert_eq!(statuses(&client, &[&first, &second]).await, [401, 401]);
    let third = client.tokens().await;
    assert_eq!(client.log_out_everywhere(&third.access).await.status, 204);
    assert_eq!(statuses(&client, &[&third]).await, [401]);
    let reply = client.log_out_everywhere(&third.access).await;
    assert_error(&reply, 401, "invalid_token");
}

#[tokio::test]
async fn revoked_token_is_forgotten_and_others_of_the_login_stay_valid() {
    let setup = setup();
    let client = setup.serve(setup.builder()).await;
    let first = client.tokens().await;
    let second = Tokens::of(&client.refresh(&first.refresh).await);
    for _ in 0..2 {
        assert_eq!(client.json("/revoke", &json!({ "token": first.access })).await.status, 200);
    }
    assert_eq!(statuses(&client, &[&first, &second]).await, [401, 200]);
    // Not only a record of the revocation: the claims are gone.
    let result = setup.issuer.verifier().verify(&first.access).await;
    assert_eq!(reason(result), Some(TokenError::UnknownToken));
    for text in ["at_", "at_x", &format!("at_{}", "A".repeat(54))] {
        assert_eq!(client.json("/revoke", &json!({ "token": text })).await.status, 200);
    }
    assert_eq!(client.json("/revoke", &json!({ "token": second.refresh })).await.status, 200);
    assert_eq!(statuses(&client, &[&second]).await, [401]);
}

#[tokio::test]
async fn outage_returns_503_and_logs_no_user_out() {
    for fault in [StoreErrorKind::Unavailable, StoreErrorKind::Full] {
        let setup = setup();
        let client = setup.serve(setup.builder()).await;
        let tokens = client.tokens().await;
        setup.store.set_fault(fault);
        let reply = client.api.get_with_token(&tokens.access, "/me").await;
        assert_eq!(reply.status, 503, "{reply:?}");
        assert!(reply.headers.contains_key("retry-after"), "{reply:?}");
        for reply in [
            client.refresh(&tokens.refresh).await,
            client.json("/revoke", &json!({ "token": tokens.access })).await,
            client.log_out_everywhere(&tokens.access).await,
        ] {
            assert_error(&reply, 503, "temporarily_unavailable");
        }
        // A made-up token is rejected without the store.
        assert_eq!(client.status(&format!("at_{}", "A".repeat(54))).await, 401);
        setup.store.set_fault(None);
        assert_eq!(client.status(&tokens.access).await, 200);
        assert_eq!(client.refresh(&tokens.refresh).await.status, 200);
    }
}

#[tokio::test]
async fn store_without_space_returns_503_for_new_tokens_only() {
    let setup = setup();
    let client = setup.serve(setup.builder()).await;
    let tokens = client.tokens().await;
    setup.store.refuse_writes(true);
    assert_error(&client.refresh(&tokens.refresh).await, 503, "temporarily_unavailable");
    assert_eq!(client.status(&tokens.access).await, 200);
    setup.store.refuse_writes(false);
    assert_eq!(client.refresh(&tokens.refresh).await.status, 200);
}

#[tokio::test]
async fn no_event_contains_a_token() {
    let setup = setup();
    let client = setup.serve(setup.builder()).await;
    let tokens = client.tokens().await;
    client.status(&tokens.access).await;
    client.json("/revoke", &json!({ "token": tokens.access })).await;
    assert_eq!(client.status(&tokens.access).await, 401);
    client.log_out(&tokens.refresh).await;
    let events = setup.events.take();
    assert!(events.len() >= 3, "{events:?}");
    assert!(!events.iter().any(|event| event.contains(&tokens.access[3..20])), "{events:?}");
}
