use std::time::Duration;

use tower_auth::{
    JwtAuth, RejectionKind, revocation::Revocations, store::SealedStore, test_util::TokenMint,
};

const ISSUER: &str = "https://issuer.example";

fn services() -> (TokenMint, Revocations, JwtAuth) {
    let mint = TokenMint::new(ISSUER);
    let revocations = Revocations::builder(SealedStore::memory())
        .longest_token_life(Duration::from_secs(3_600))
        .staleness(Duration::ZERO)
        .build()
        .unwrap();
    let tokens = mint.validator("orders").revocations(revocations.clone()).build().unwrap();
    (mint, revocations, tokens)
}

#[tokio::test]
async fn revoked_token_is_rejected() {
    let (mint, revocations, tokens) = services();
    let [one, other] = ["1", "2"].map(|jti| {
        mint.token("alice").audience("orders").claim("jti", jti).claim("sid", "s").sign()
    });
    let caller = tokens.verify(&one).await.unwrap();
    revocations.token(&caller).await.unwrap();
    let rejection = tokens.verify(&one).await.unwrap_err();
    assert_eq!(rejection.kind(), RejectionKind::InvalidCredentials);
    assert!(tokens.verify(&other).await.is_ok());
    revocations.session(ISSUER, "s").await.unwrap();
    assert!(tokens.verify(&other).await.is_err());
}

#[tokio::test]
async fn tokens_of_a_revoked_subject_or_issuer_are_rejected() {
    let (mint, revocations, tokens) = services();
    let [alice, bob] = ["alice", "bob"].map(|name| mint.token(name).audience("orders").sign());
    revocations.subject(ISSUER, "alice").await.unwrap();
    assert!(tokens.verify(&alice).await.is_err());
    assert!(tokens.verify(&bob).await.is_ok());
    revocations.issuer(ISSUER).await.unwrap();
    assert!(tokens.verify(&bob).await.is_err());
}
