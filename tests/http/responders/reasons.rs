//! The reason goes to outer layers, and to nobody else.

use std::{
    error::Error as _,
    sync::{Arc, Mutex},
};

use axum::{Router, routing::get};
use serde_json::{Value, json};
use tower::ServiceBuilder;
use tower_auth::{
    AuthenticateLayer, Denial, RejectionKind, RequireScopes, credentials::CredentialsError,
    jwt::TokenError,
};
use tower_auth_test_support::token::{Signer, claims};

use super::{Api, OUTAGE, SUSPENDED, ask, basic, everybody, listen, reading};

#[tokio::test(flavor = "multi_thread")]
async fn an_outer_layer_reads_why_a_token_was_refused() {
    let api = Api::serve().await;
    let stranger = Signer::generate("ES256", "1").token(&claims());

    for (credentials, reason) in [
        (api.bearer("exp", 1), TokenError::Expired),
        (api.bearer("iss", "https://other.example"), TokenError::Issuer),
        (api.bearer("aud", json!(["https://other.example"])), TokenError::Audience),
        (api.bearer("sub", Value::Null), TokenError::MalformedClaims),
        (api.bearer("sub", "suspended"), TokenError::Check(SUSPENDED.into())),
        (format!("Bearer {stranger}"), TokenError::Signature),
        ("Bearer x".into(), TokenError::NotCompactJws),
    ] {
        assert_eq!(api.ask(&[&credentials]).status, 401);
        let rejection = api.last_read();
        assert_eq!(rejection.kind(), RejectionKind::InvalidCredentials);
        assert_eq!(rejection.source().unwrap().downcast_ref(), Some(&reason));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outer_layer_reads_every_other_reason_too() {
    let api = Api::serve().await;
    let good = api.bearer("sub", "user-1");

    api.ask(&[]);
    assert_eq!(api.last_read().kind(), RejectionKind::MissingCredentials);

    api.ask(&[&good, &good]);
    let repeated = api.last_read();
    assert_eq!(repeated.kind(), RejectionKind::MalformedRequest);
    assert_eq!(repeated.source().unwrap().downcast_ref(), Some(&CredentialsError::Repeated));

    api.ask(&[&api.bearer("scope", "read")]);
    let refused = api.last_read();
    assert_eq!(refused.kind(), RejectionKind::InsufficientScope);
    let denial: &Denial = refused.source().unwrap().downcast_ref().unwrap();
    assert!(denial.scopes().eq(["write"]));

    api.ask(&[&basic("carol", "secret")]);
    let outage = api.last_read();
    assert_eq!(outage.kind(), RejectionKind::Unavailable);
    assert_eq!(outage.source().unwrap().to_string(), OUTAGE);

    api.ask(&[&good]);
    assert!(api.read.lock().unwrap().is_empty(), "an admitted request has no rejection");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_refusal_tells_a_secret_or_the_reason() {
    let own_words = Api::serve().await;
    let read = Arc::<Mutex<_>>::default();
    let default = ServiceBuilder::new()
        .layer(reading(Arc::clone(&read)))
        .layer(AuthenticateLayer::new(everybody(&own_words.signer)))
        .layer(RequireScopes::all(["write"]));
    let default = Router::new().route("/", get(async || "welcome")).layer(default);
    let default = listen(default).await;

    for line in [
        own_words.bearer("exp", 1),
        own_words.bearer("iss", "https://other.example"),
        own_words.bearer("sub", "suspended"),
        own_words.bearer("scope", "read"),
        format!("Bearer {}", Signer::generate("ES256", "1").token(&claims())),
        "Bearer not-even-a-token".into(),
        basic("alice", "correct-horse"),
        basic("carol", "battery-staple"),
        "Basic no_base64_but_a_password".into(),
    ] {
        for (address, read) in [(&default, &read), (&own_words.address, &own_words.read)] {
            let answer = ask(address, &[&line]);
            assert!(answer.status >= 400, "{answer:?}");
            let told = format!("{answer:?}");
            let reason = read.lock().unwrap().pop().unwrap().source().unwrap().to_string();
            let sent = line.split(['.', ' ']).skip(1);
            let passwords = ["correct-horse", "battery-staple"];
            for secret in sent.chain(passwords).chain([&*reason, SUSPENDED, OUTAGE]) {
                assert!(!told.contains(secret), "{secret} is in {told}");
            }
        }
    }
}
