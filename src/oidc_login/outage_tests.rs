//! Outages and errors of the provider and the store.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::json;

use super::{
    authorization_request::LoginRequest,
    callback::CallbackParameters,
    login_error::LoginErrorKind,
    test_provider::{Browser, FailingStore, TestProvider, log_in, reason, sessions},
};
use crate::store::Memory;

#[tokio::test]
async fn store_outage_is_unavailable_and_does_not_use_the_code() {
    let provider = TestProvider::new();
    let store = FailingStore::new(Memory::with_clock(provider.clock().clone()));
    let login = provider.builder().sessions(sessions(provider.clock(), store.clone())).build();
    let login = login.unwrap();
    let mut browser = Browser::default();
    let begun = browser.begin(&login, LoginRequest::default()).await.unwrap();
    store.fail(true);
    let error = browser.complete(&login, provider.authorize(&begun.location)).await.err().unwrap();
    assert_eq!(error.kind(), LoginErrorKind::Unavailable);
    assert!(provider.forms("/token").is_empty());
    store.fail(false);
    browser.complete(&login, provider.authorize(&begun.location)).await.unwrap();
}

#[tokio::test]
async fn errors_of_the_provider_have_a_kind_and_a_short_reason() {
    let provider = TestProvider::new();
    let login = provider.login();
    for (error, kind) in [
        ("access_denied", LoginErrorKind::Denied),
        ("login_required", LoginErrorKind::Denied),
        ("consent_required", LoginErrorKind::Denied),
        ("interaction_required", LoginErrorKind::Denied),
        ("account_selection_required", LoginErrorKind::Denied),
        ("temporarily_unavailable", LoginErrorKind::Unavailable),
        ("server_error", LoginErrorKind::Unavailable),
        ("unmet_authentication_requirements", LoginErrorKind::Insufficient),
        ("invalid_scope", LoginErrorKind::Provider),
        ("", LoginErrorKind::Provider),
    ] {
        let mut browser = Browser::default();
        let begun = browser.begin(&login, LoginRequest::default()).await.unwrap();
        let response = CallbackParameters {
            error: Some(error.into()),
            error_description: Some(format!("a\n\u{1b}[2J{}", "x".repeat(1 << 20))),
            error_uri: Some("https://id.example/e".into()),
            ..provider.authorize(&begun.location)
        };
        let failed = browser.complete(&login, response).await.err().unwrap();
        assert_eq!(failed.kind(), kind, "{error}");
        let reason = reason(&failed);
        assert!(reason.contains(r"a\n\u{1b}[2Jxxx") && reason.len() < 400, "{reason}");
        assert!(reason.contains("…") && reason.contains("https://id.example/e"), "{reason}");
        assert!(!failed.to_string().contains("xxx"));
    }
    assert!(provider.forms("/token").is_empty());
}

#[tokio::test]
async fn missing_or_long_code_is_rejected() {
    let provider = TestProvider::new();
    let login = provider.login();
    for code in [None, Some(String::new()), Some("a".repeat(4097))] {
        let mut browser = Browser::default();
        let begun = browser.begin(&login, LoginRequest::default()).await.unwrap();
        let response = CallbackParameters { code, ..provider.authorize(&begun.location) };
        let error = browser.complete(&login, response).await.err().unwrap();
        assert_eq!(error.kind(), LoginErrorKind::InvalidState);
    }
    assert!(provider.forms("/token").is_empty());
}

/// The browser has sent it, so this is not a fault of the provider.
#[tokio::test]
async fn code_that_the_provider_rejects_is_an_invalid_response() {
    let provider = TestProvider::new();
    let login = provider.login();
    let mut browser = Browser::default();
    let begun = browser.begin(&login, LoginRequest::default()).await.unwrap();
    let code = Some("unknown".to_owned());
    let response = CallbackParameters { code, ..provider.authorize(&begun.location) };
    let error = browser.complete(&login, response).await.err().unwrap();
    assert_eq!(error.kind(), LoginErrorKind::InvalidState);
    assert!(reason(&error).contains("invalid_grant"), "{}", reason(&error));
}

#[tokio::test]
async fn invalid_token_response_is_an_error_of_the_provider() {
    let provider = TestProvider::new();
    let login = provider.login();
    for tokens in [
        json!({ "id_token": null }),
        json!({ "id_token": 7 }),
        json!({ "id_token": "a.b.c" }),
        json!({ "access_token": null }),
        json!({ "token_type": "DPoP" }),
        json!({ "error": "invalid_grant", "error_description": "unknown code {code}" }),
        json!({ "padding": "a".repeat(1 << 20) }),
    ] {
        provider.tokens(tokens.clone());
        let error = log_in(&provider, &login, LoginRequest::default()).await.err().unwrap();
        assert_eq!(error.kind(), LoginErrorKind::Provider, "{}", reason(&error));
        assert!(!reason(&error).contains("code-of"), "{}", reason(&error));
    }
    provider.tokens(json!({ "error": "invalid_client" }));
    let error = log_in(&provider, &login, LoginRequest::default()).await.err().unwrap();
    assert_eq!(error.kind(), LoginErrorKind::Misconfigured);
}

#[tokio::test]
async fn next_login_after_an_outage_works() {
    let provider = TestProvider::new();
    let login = provider.login();
    provider.outage(true);
    for _ in 0..3 {
        let error = log_in(&provider, &login, LoginRequest::default()).await.err().unwrap();
        assert_eq!(error.kind(), LoginErrorKind::Unavailable);
    }
    provider.outage(false);
    log_in(&provider, &login, LoginRequest::default()).await.unwrap();
    // An outage between both requests of the browser.
    let mut browser = Browser::default();
    let begun = browser.begin(&login, LoginRequest::default()).await.unwrap();
    provider.outage(true);
    let error = browser.complete(&login, provider.authorize(&begun.location)).await.err().unwrap();
    assert_eq!(error.kind(), LoginErrorKind::Unavailable);
    provider.outage(false);
    log_in(&provider, &login, LoginRequest::default()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn provider_that_hangs_is_unavailable_within_the_timeout() {
    let provider = TestProvider::new();
    let login = provider.builder().timeout(Duration::from_secs(3)).build().unwrap();
    let ready = provider.builder().timeout(Duration::from_secs(3)).build().unwrap();
    let mut browser = Browser::default();
    let begun = browser.begin(&ready, LoginRequest::default()).await.unwrap();
    let response = provider.authorize(&begun.location);
    provider.hang();
    let start = tokio::time::Instant::now();
    // Those that wait for the first one have the same timeout.
    let logins = (0..8).map(|_| {
        let login = login.clone();
        async move {
            let error = Browser::default().begin(&login, LoginRequest::default()).await;
            error.err().unwrap().kind()
        }
    });
    for kind in join_all(logins).await {
        assert_eq!(kind, LoginErrorKind::Unavailable);
    }
    assert_eq!(start.elapsed(), Duration::from_secs(3));
    let error = browser.complete(&ready, response).await.err().unwrap();
    assert_eq!(error.kind(), LoginErrorKind::Unavailable);
    assert_eq!(start.elapsed(), Duration::from_secs(6));
}

#[tokio::test]
async fn concurrent_first_logins_share_the_discovery() {
    let provider = TestProvider::new();
    let login = provider.login();
    let logins = (0..16).map(|_| log_in(&provider, &login, LoginRequest::default()));
    for result in join_all(logins).await {
        result.unwrap();
    }
    // One for the endpoints, one for the keys.
    assert_eq!(provider.discoveries(), 2);
}

#[tokio::test]
async fn metadata_that_cannot_be_used_is_misconfigured() {
    for (metadata, form_post) in [
        (json!({ "authorization_endpoint": null }), false),
        (json!({ "authorization_endpoint": 7 }), false),
        (json!({ "authorization_endpoint": "http://id.example/authorize" }), false),
        (json!({ "authorization_endpoint": "https://u:p@id.example/authorize" }), false),
        (json!({ "authorization_endpoint": "https://id.example/authorize#x" }), false),
        (json!({ "authorization_endpoint": "javascript:alert(1)" }), false),
        (json!({ "token_endpoint": "http://id.example/token" }), false),
        (json!({ "token_endpoint": null }), false),
        (json!({ "response_modes_supported": ["query"] }), true),
    ] {
        let provider = TestProvider::new();
        provider.metadata(metadata.clone());
        let builder = provider.builder();
        let builder = if form_post { builder.form_post() } else { builder };
        let login = builder.build().unwrap();
        let begun = Browser::default().begin(&login, LoginRequest::default()).await;
        let error = begun.err().unwrap();
        assert_eq!(error.kind(), LoginErrorKind::Misconfigured, "{metadata}");
    }
}

#[tokio::test]
async fn metadata_of_another_issuer_is_not_used() {
    let provider = TestProvider::new();
    provider.metadata(json!({ "issuer": "https://evil.example" }));
    let begun = Browser::default().begin(&provider.login(), LoginRequest::default()).await;
    assert_eq!(begun.err().unwrap().kind(), LoginErrorKind::Unavailable);
}

#[test]
fn login_without_a_runtime_is_misconfigured() {
    let provider = TestProvider::new();
    let login = provider.login();
    let head = Browser::default().head();
    let mut context = Context::from_waker(Waker::noop());
    let begun = pin!(login.0.begin(LoginRequest::default(), &head)).poll(&mut context);
    let Poll::Ready(Err(error)) = begun else { panic!("no error") };
    assert_eq!(error.kind(), LoginErrorKind::Misconfigured);
    let response = CallbackParameters::default();
    let completed = pin!(login.0.complete(response, &head)).poll(&mut context);
    let Poll::Ready(Err(error)) = completed else { panic!("no error") };
    assert_eq!(error.kind(), LoginErrorKind::Misconfigured);
    let url = pin!(login.0.end_session_url(None)).poll(&mut context);
    assert!(matches!(url, Poll::Ready(None)));
}
