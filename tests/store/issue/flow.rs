use tower_auth::{
    Principal,
    issue::{RefreshError, TokenIssuer},
    jwt::TokenCache,
    store::SealedStore,
    test_util::principal,
};

fn issuer(store: &SealedStore) -> TokenIssuer {
    TokenIssuer::builder()
        .issuer("https://login.example")
        .audience("orders")
        .store(store.clone())
        .build()
        .unwrap()
}

#[tokio::test]
async fn tokens_are_accepted_until_logout() {
    let issuer = issuer(&SealedStore::memory());
    let user = principal("alice").scopes(["read", "write"]).build();
    let first = issuer.issue(&user).await.unwrap();
    let caller = issuer.verifier().verify(first.access_token()).await.unwrap();
    assert_eq!(caller.subject(), "alice");
    assert!(caller.scopes().contains("read"));

    let second = issuer.refresh(first.refresh_token()).await.unwrap();
    assert_ne!(second.refresh_token(), first.refresh_token());
    let again = issuer.refresh(first.refresh_token()).await.unwrap();
    assert_eq!(again.refresh_token(), second.refresh_token());
    assert!(issuer.verifier().verify(again.access_token()).await.is_ok());

    issuer.logout(first.refresh_token()).await.unwrap();
    for token in [first.access_token(), second.access_token(), again.access_token()] {
        assert!(issuer.verifier().verify(token).await.is_err());
    }
    let refreshed = issuer.refresh(second.refresh_token()).await;
    assert!(matches!(refreshed, Err(RefreshError::Revoked)), "{refreshed:?}");
}

#[tokio::test]
async fn refresh_does_not_undo_log_out_everywhere() {
    let issuer = issuer(&SealedStore::memory());
    let first = issuer.issue(&principal("alice").build()).await.unwrap();
    issuer.logout_everywhere("alice").await.unwrap();
    assert!(matches!(issuer.refresh(first.refresh_token()).await, Err(RefreshError::Revoked)));
    assert!(issuer.verifier().verify(first.access_token()).await.is_err());

    let new = issuer.issue(&principal("alice").build()).await.unwrap();
    assert!(issuer.verifier().verify(new.access_token()).await.is_ok());
    assert!(issuer.refresh(new.refresh_token()).await.is_ok());
}

#[tokio::test]
async fn verifier_builder_adds_a_cache_and_checks_and_keeps_revocation() {
    let issuer = issuer(&SealedStore::memory());
    let tokens = issuer
        .verifier_builder()
        .cache(TokenCache::new(1 << 20))
        .check(|caller: &Principal| match caller.subject() {
            "alice" => Ok(()),
            _ => Err("not alice"),
        })
        .build()
        .unwrap();
    let alice = issuer.issue(&principal("alice").build()).await.unwrap();
    let bob = issuer.issue(&principal("bob").build()).await.unwrap();
    for _ in 0..2 {
        assert!(tokens.verify(alice.access_token()).await.is_ok());
        assert!(tokens.verify(bob.access_token()).await.is_err());
    }
    issuer.logout(alice.refresh_token()).await.unwrap();
    assert!(tokens.verify(alice.access_token()).await.is_err());
}
