//! Requests while the store does not answer.

use serde_json::json;
use tower_auth::store::StoreErrorKind;

use super::{Client, PASSWORD, Setup, Tokens, assert_error};
use tower_auth_test_support::api::Reply;

/// Sends a request to each endpoint.
async fn send_all(client: &Client, tokens: &Tokens) -> Vec<Reply> {
    vec![
        client.log_in(PASSWORD).await,
        client.refresh(&tokens.refresh).await,
        client.json("/revoke", &json!({ "token": tokens.access })).await,
        client.json("/revoke", &json!({ "token": tokens.refresh })).await,
        client.log_out(&tokens.refresh).await,
        client.log_out_everywhere(&tokens.access).await,
    ]
}

#[tokio::test]
async fn outage_of_the_store_returns_503_and_logs_no_user_out() {
    for fault in [StoreErrorKind::Unavailable, StoreErrorKind::Full] {
        let setup = Setup::new();
        let client = setup.serve(setup.builder()).await;
        let tokens = client.tokens().await;
        setup.store.set_fault(fault);
        for _ in 0..15 {
            for reply in send_all(&client, &tokens).await {
                assert_error(&reply, 503, "temporarily_unavailable");
            }
        }
        setup.store.set_fault(None);
        // No request was counted as a failure, and the tokens are valid.
        let next = client.refresh(&tokens.refresh).await;
        assert_eq!(next.status, 200, "{next:?}");
        assert_eq!(client.status(&Tokens::of(&next).access).await, 200);
        assert_eq!(client.log_in(PASSWORD).await.status, 200);
        assert_eq!(client.log_out(&tokens.refresh).await.status, 204);
        assert_eq!(client.status(&Tokens::of(&next).access).await, 401);
    }
}

#[tokio::test]
async fn store_that_does_not_answer_in_time_returns_503() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    let tokens = client.tokens().await;
    setup.store.pause();
    assert_error(&client.refresh(&tokens.refresh).await, 503, "temporarily_unavailable");
    setup.store.resume();
    assert_eq!(client.refresh(&tokens.refresh).await.status, 200);
}

#[tokio::test]
async fn fault_of_the_claims_closure_returns_503_and_the_token_stays_valid() {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };
    use tower_auth::issue::AccessClaims;

    let is_broken = Arc::new(AtomicBool::new(false));
    let broken = Arc::clone(&is_broken);
    let setup = Setup::with(move |issuer| {
        issuer.claims(move |_| {
            let is_broken = broken.load(Ordering::Relaxed);
            async move { if is_broken { Err("no database") } else { Ok(Some(AccessClaims::none())) } }
        })
    });
    let client = setup.serve(setup.builder()).await;
    let tokens = client.tokens().await;
    is_broken.store(true, Ordering::Relaxed);
    assert_error(&client.log_in(PASSWORD).await, 503, "temporarily_unavailable");
    assert_error(&client.refresh(&tokens.refresh).await, 503, "temporarily_unavailable");
    is_broken.store(false, Ordering::Relaxed);
    assert_eq!(client.refresh(&tokens.refresh).await.status, 200);
}
