//! Outer layers see the reason of a rejection, and clients do not.

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

use super::{Api, OUTAGE, SUSPENDED, basic_header, jwt_or_basic, listen, record_rejections, send};

#[tokio::test(flavor = "multi_thread")]
async fn outer_layer_reads_the_token_error() {
    let api = Api::serve().await;
    let unknown_key = Signer::generate("ES256", "1").token(&claims());

    for (credentials, reason) in [
        (api.bearer("exp", 1), TokenError::Expired),
        (api.bearer("iss", "https://other.example"), TokenError::Issuer),
        (api.bearer("aud", json!(["https://other.example"])), TokenError::Audience),
        (
            api.bearer("sub", Value::Null),
            TokenError::MalformedClaim { path: "sub".into(), expected: "a string" },
        ),
        (api.bearer("sub", "suspended"), TokenError::Check(SUSPENDED.into())),
        (format!("Bearer {unknown_key}"), TokenError::Signature),
        ("Bearer x".into(), TokenError::NotCompactJws),
    ] {
        assert_eq!(api.send(&[&credentials]).status, 401);
        let rejection = api.last_rejection();
        assert_eq!(rejection.kind(), RejectionKind::InvalidCredentials);
        assert_eq!(rejection.source().unwrap().downcast_ref(), Some(&reason));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn outer_layer_reads_every_other_kind_of_reason() {
    let api = Api::serve().await;
    let valid = api.bearer("sub", "user-1");

    api.send(&[]);
    assert_eq!(api.last_rejection().kind(), RejectionKind::MissingCredentials);

    api.send(&[&valid, &valid]);
    let repeated = api.last_rejection();
    assert_eq!(repeated.kind(), RejectionKind::MalformedRequest);
    assert_eq!(repeated.source().unwrap().downcast_ref(), Some(&CredentialsError::Repeated));

    api.send(&[&api.bearer("scope", "read")]);
    let denied = api.last_rejection();
    assert_eq!(denied.kind(), RejectionKind::InsufficientScope);
    let denial: &Denial = denied.source().unwrap().downcast_ref().unwrap();
    assert!(denial.scopes().eq(["write"]));

    api.send(&[&basic_header("carol", "secret")]);
    let outage = api.last_rejection();
    assert_eq!(outage.kind(), RejectionKind::Unavailable);
    assert_eq!(outage.source().unwrap().to_string(), OUTAGE);

    api.send(&[&valid]);
    assert!(api.rejections.lock().unwrap().is_empty(), "an admitted request has no rejection");
}

#[tokio::test(flavor = "multi_thread")]
async fn response_contains_no_secret_and_no_reason() {
    let custom = Api::serve().await;
    let rejections = Arc::<Mutex<_>>::default();
    let default = ServiceBuilder::new()
        .layer(record_rejections(Arc::clone(&rejections)))
        .layer(AuthenticateLayer::new(jwt_or_basic(&custom.signer)))
        .layer(RequireScopes::all(["write"]));
    let default = Router::new().route("/", get(async || "welcome")).layer(default);
    let default = listen(default).await;

    for line in [
        custom.bearer("exp", 1),
        custom.bearer("iss", "https://other.example"),
        custom.bearer("sub", "suspended"),
        custom.bearer("scope", "read"),
        format!("Bearer {}", Signer::generate("ES256", "1").token(&claims())),
        "Bearer not-even-a-token".into(),
        basic_header("alice", "correct-horse"),
        basic_header("carol", "battery-staple"),
        "Basic no_base64_but_a_password".into(),
    ] {
        for (address, rejections) in
            [(&default, &rejections), (&custom.address, &custom.rejections)]
        {
            let response = send(address, &[&line]);
            assert!(response.status >= 400, "{response:?}");
            let text = format!("{response:?}");
            let reason = rejections.lock().unwrap().pop().unwrap().source().unwrap().to_string();
            let sent = line.split(['.', ' ']).skip(1);
            let passwords = ["correct-horse", "battery-staple"];
            for secret in sent.chain(passwords).chain([&*reason, SUSPENDED, OUTAGE]) {
                assert!(!text.contains(secret), "{secret} is in {text}");
            }
        }
    }
}
