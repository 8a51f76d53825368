//! The exchange of refresh tokens.

use serde_json::json;
use tower_auth::store::StoreErrorKind;

use super::{PASSWORD, Setup, Tokens, assert_error, checked, claims_of, send_json};

#[tokio::test]
async fn refresh_token_is_exchanged_by_form_and_json() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    let first = client.tokens().await;
    let form = format!("grant_type=refresh_token&refresh_token={}", first.refresh);
    let reply = client.form("/token/refresh", &form).await;
    assert_eq!(reply.status, 200);
    let second = Tokens::of(&reply);
    assert_ne!(second.refresh, first.refresh);
    setup.advance(60);
    let third = Tokens::of(&client.refresh(&second.refresh).await);
    for access in [&first.access, &second.access, &third.access] {
        assert_eq!(client.status(access).await, 200);
    }
    // The authentication is that of the login.
    let [first, third] = [&first, &third].map(|tokens| claims_of(&tokens.access));
    for name in ["sub", "sid", "fst", "auth_time", "amr", "client_id", "scope"] {
        assert_eq!(first[name], third[name], "{name}");
    }
}

#[tokio::test]
async fn other_grant_type_returns_400() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    let tokens = client.tokens().await;
    for grant_type in ["password", "authorization_code", "Refresh_Token"] {
        let form = format!("grant_type={grant_type}&refresh_token={}", tokens.refresh);
        let reply = client.form("/token/refresh", &form).await;
        assert_error(&reply, 400, "unsupported_grant_type");
    }
}

#[tokio::test]
async fn invalid_refresh_token_returns_400_invalid_grant() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    let other_issuer = Setup::new().serve(Setup::new().builder()).await.tokens().await;
    let tokens = client.tokens().await;
    for malformed in ["x", &tokens.access, &other_issuer.refresh, &tokens.refresh[1..]] {
        assert_error(&client.refresh(malformed).await, 400, "invalid_grant");
    }
    // Of another client. The login continues.
    let parameters = json!({ "refresh_token": tokens.refresh, "client_id": "other" });
    assert_error(&client.json("/token/refresh", &parameters).await, 400, "invalid_grant");
    // Reused after the grace period.
    let next = Tokens::of(&client.refresh(&tokens.refresh).await);
    setup.advance(21);
    assert_error(&client.refresh(&tokens.refresh).await, 400, "invalid_grant");
    assert_error(&client.refresh(&next.refresh).await, 400, "invalid_grant");
    assert_eq!(client.status(&next.access).await, 401);
    // Revoked.
    let tokens = client.tokens().await;
    client.log_out(&tokens.refresh).await;
    assert_error(&client.refresh(&tokens.refresh).await, 400, "invalid_grant");
    // Expired.
    let tokens = client.tokens().await;
    setup.advance(15 * 24 * 60 * 60);
    assert_error(&client.refresh(&tokens.refresh).await, 400, "invalid_grant");
}

#[tokio::test]
async fn requested_scopes_narrow_one_access_token() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    let tokens = client.tokens().await;
    let refresh = async |scope: &str| {
        let parameters = json!({ "refresh_token": tokens.refresh, "scope": scope });
        client.json("/token/refresh", &parameters).await
    };
    for invalid in ["admin", "read admin", "  "] {
        assert_error(&refresh(invalid).await, 400, "invalid_scope");
    }
    let narrow = Tokens::of(&refresh("read").await);
    assert_eq!(claims_of(&narrow.access)["scope"], "read");
    let all = Tokens::of(&client.refresh(&narrow.refresh).await);
    assert_eq!(claims_of(&all.access)["scope"], "read write");
}

#[tokio::test]
async fn ten_malformed_tokens_from_an_address_return_429() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    let tokens = client.tokens().await;
    let refresh = async |from: &str, token: &str| {
        let request = client.post("/token/refresh").header("x-from", from);
        checked(send_json(request, &json!({ "refresh_token": token })).await)
    };
    let log_in = async |from: &str| {
        let request = client.post("/login").header("x-from", from);
        let parameters = json!({ "username": "alice", "password": PASSWORD });
        checked(send_json(request, &parameters).await)
    };
    // Forged tokens cause no call of the store.
    setup.store.set_fault(StoreErrorKind::Unavailable);
    for _ in 0..10 {
        assert_error(&refresh("192.0.2.1", "x").await, 400, "invalid_grant");
    }
    let reply = refresh("192.0.2.1", "x").await;
    assert_error(&reply, 429, "too_many_requests");
    assert_eq!(reply.headers["retry-after"], "30");
    setup.store.set_fault(None);
    assert_error(&log_in("192.0.2.1").await, 429, "too_many_requests");
    // Other clients behind the same address keep their logins.
    assert_eq!(refresh("192.0.2.1", &tokens.refresh).await.status, 200);
    assert_error(&refresh("192.0.2.2", "x").await, 400, "invalid_grant");
    assert_eq!(log_in("192.0.2.2").await.status, 200);
    setup.advance(30);
    assert_error(&refresh("192.0.2.1", "x").await, 400, "invalid_grant");
}

/// After the removal of a key, all users behind an address send such tokens.
#[tokio::test]
async fn tokens_of_a_removed_key_are_not_counted_by_the_throttle() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    let tokens = client.tokens().await;
    let key_id = tokens.refresh.split('.').nth(2).unwrap();
    assert!(setup.issuer.remove_key(key_id).await.unwrap());
    for _ in 0..30 {
        assert_error(&client.refresh(&tokens.refresh).await, 400, "invalid_grant");
    }
    // A token that names a key of the issuer, but was not made with it, is a guess.
    let new = client.tokens().await;
    let (fields, _) = new.refresh.rsplit_once('.').unwrap();
    let forged = format!("{fields}.{}", "A".repeat(43));
    for _ in 0..10 {
        assert_error(&client.refresh(&forged).await, 400, "invalid_grant");
    }
    assert_error(&client.refresh(&forged).await, 429, "too_many_requests");
}

#[tokio::test]
async fn valid_tokens_are_not_counted_by_the_throttle() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    let tokens = client.tokens().await;
    for _ in 0..30 {
        assert_eq!(client.refresh(&tokens.refresh).await.status, 200);
    }
    client.log_out(&tokens.refresh).await;
    for _ in 0..30 {
        assert_error(&client.refresh(&tokens.refresh).await, 400, "invalid_grant");
    }
    assert_eq!(client.log_in(PASSWORD).await.status, 200);
}

#[tokio::test]
async fn more_than_120_refreshes_of_a_login_in_a_minute_return_429() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    let (tokens, others) = (client.tokens().await, client.tokens().await);
    for _ in 0..120 {
        assert_eq!(client.refresh(&tokens.refresh).await.status, 200);
    }
    let reply = client.refresh(&tokens.refresh).await;
    assert_error(&reply, 429, "too_many_requests");
    assert_eq!(reply.headers["retry-after"], "1");
    assert_eq!(client.refresh(&others.refresh).await.status, 200);
}
