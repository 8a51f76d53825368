//! Logins at a provider inside the process.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{
    OidcLogin,
    authorization_request::LoginRequest,
    callback::CallbackParameters,
    login_error::LoginErrorKind,
    step_up::StepUp,
    test_provider::{
        Browser, CLIENT, ISSUER, REDIRECT_URI, TestProvider, log_in, parse, reason, sessions,
    },
};
use crate::{session::return_to::ReturnTo, store::Memory};

fn query(location: &str) -> std::collections::HashMap<String, String> {
    parse(location.split_once('?').unwrap().1)
}

#[tokio::test]
async fn authorization_request_has_state_nonce_and_challenge() {
    let provider = TestProvider::new();
    let login = provider.login();
    let mut browser = Browser::default();
    let begun = browser.begin(&login, LoginRequest::default()).await.unwrap();
    assert!(begun.location.starts_with("https://id.example/authorize?response_type=code&"));
    let first = query(&begun.location);
    for (name, value) in [
        ("client_id", CLIENT),
        ("redirect_uri", REDIRECT_URI),
        ("scope", "openid"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(first[name], value);
    }
    assert_eq!(first.len(), 8, "{first:?}");
    let second = browser.begin(&login, LoginRequest::default()).await.unwrap();
    let second = query(&second.location);
    for (name, length) in [("state", 22), ("nonce", 22), ("code_challenge", 43)] {
        assert_eq!(first[name].len(), length);
        assert_ne!(first[name], second[name], "{name}");
    }
    // The cookie reveals nothing of it.
    let cookie = begun.cookies[0].to_str().unwrap();
    assert!(!cookie.contains(&first["state"]) && !cookie.contains(&first["nonce"]));
    assert!(begun.cookies[0].is_sensitive());
}

#[tokio::test]
async fn authorization_request_has_the_configured_and_requested_parameters() {
    let provider = TestProvider::new();
    provider.metadata(json!({ "authorization_endpoint": "https://id.example/a?tenant=1" }));
    let login = provider
        .builder()
        .scopes(["email", "openid"])
        .acr_values(["gold", "silver"])
        .max_age(Duration::from_secs(300))
        .prompt("select_account")
        .login_hint("example.com")
        .parameter("audience", "a b&c")
        .form_post()
        .build()
        .unwrap();
    let begun = Browser::default().begin(&login, LoginRequest::default()).await.unwrap();
    let sent = query(&begun.location);
    for (name, value) in [
        ("tenant", "1"),
        ("scope", "openid email"),
        ("acr_values", "gold silver"),
        ("max_age", "300"),
        ("prompt", "select_account"),
        ("login_hint", "example.com"),
        ("audience", "a b&c"),
        ("response_mode", "form_post"),
    ] {
        assert_eq!(sent[name], value);
    }
    let request = LoginRequest {
        step_up: StepUp { acr_values: Some("platinum".into()), max_age: Some(60) },
        login_hint: Some("alice@example.com".into()),
        ..Default::default()
    };
    let begun = Browser::default().begin(&login, request).await.unwrap();
    let sent = query(&begun.location);
    assert_eq!(sent["acr_values"], "platinum");
    assert_eq!(sent["max_age"], "60");
    assert_eq!(sent["login_hint"], "alice@example.com");
}

#[tokio::test]
async fn values_that_are_too_long_or_malformed_are_not_sent() {
    let provider = TestProvider::new();
    let login = provider.login();
    for (acr_values, hint) in [
        ("a".repeat(513), "a".repeat(257)),
        ("a  b".into(), "a\nb".into()),
        ("a\"b".into(), String::new()),
    ] {
        let request = LoginRequest {
            step_up: StepUp { acr_values: Some(acr_values), max_age: None },
            login_hint: Some(hint),
            ..Default::default()
        };
        let begun = Browser::default().begin(&login, request).await.unwrap();
        assert_eq!(query(&begun.location).len(), 8, "{}", begun.location);
    }
}

#[tokio::test]
async fn login_returns_the_user_the_tokens_and_where_to_go() {
    let provider = TestProvider::new();
    provider.id_token(|token| token.claim("sid", "s1").claim("email", "a@b.example"));
    provider.tokens(json!({ "refresh_token": "rt-1", "scope": "openid email" }));
    let request = LoginRequest {
        return_to: ReturnTo::parse("/orders?id=1").unwrap(),
        replaces: Some("session-1".into()),
        ..Default::default()
    };
    let completed = log_in(&provider, &provider.login(), request).await.unwrap();
    assert_eq!(completed.return_to.as_str(), "/orders?id=1");
    assert_eq!(completed.replaces.as_deref(), Some("session-1"));
    let session = completed.provider.unwrap();
    assert_eq!((&*session.issuer, &*session.subject), (ISSUER, "alice"));
    assert_eq!(session.sid.as_deref(), Some("s1"));
    assert!(session.id_token.unwrap().starts_with("ey"));
    let login = completed.login;
    assert_eq!((login.issuer(), login.subject()), (Some(ISSUER), "alice"));
    assert_eq!(login.claim::<String>("email").unwrap(), "a@b.example");
    assert_eq!((login.access_token(), login.refresh_token()), ("at-1", Some("rt-1")));
    assert_eq!(login.expires_in(), Some(Duration::from_secs(3600)));
    assert!(login.scopes().contains("email"));
    let principal = login.principal().build();
    assert_eq!((principal.issuer(), principal.subject()), (Some(ISSUER), "alice"));
    assert_eq!(principal.claim::<String>("email").unwrap(), "a@b.example");
    assert!(principal.scopes().is_empty());
    let debug = format!("{login:?}");
    assert!(
        !debug.contains("at-1") && !debug.contains("rt-1") && !debug.contains("a@b"),
        "{debug}"
    );
}

#[tokio::test]
async fn granted_scopes_are_by_default_those_that_were_requested() {
    let provider = TestProvider::new();
    let login = provider.builder().scopes(["email"]).build().unwrap();
    let completed = log_in(&provider, &login, LoginRequest::default()).await.unwrap();
    assert!(completed.login.scopes().contains("email"));
}

#[tokio::test]
async fn long_id_token_is_not_kept_for_the_logout() {
    let provider = TestProvider::new();
    provider.id_token(|token| token.claim("groups", "a".repeat(4000)));
    let completed = log_in(&provider, &provider.login(), LoginRequest::default()).await.unwrap();
    assert_eq!(completed.provider.unwrap().id_token, None);
}

#[tokio::test]
async fn state_of_another_browser_is_rejected() {
    let provider = TestProvider::new();
    let login = provider.login();
    let (mut victim, mut attacker) = (Browser::default(), Browser::default());
    victim.begin(&login, LoginRequest::default()).await.unwrap();
    let begun = attacker.begin(&login, LoginRequest::default()).await.unwrap();
    let response = || provider.authorize(&begun.location);
    let error = victim.complete(&login, response()).await.err().unwrap();
    assert_eq!(error.kind(), LoginErrorKind::InvalidState);
    assert!(reason(&error).contains("another browser"));
    // The login of the attacker was not used up by that.
    attacker.complete(&login, response()).await.unwrap();
    assert_eq!(provider.forms("/token").len(), 1);
}

#[tokio::test]
async fn cookie_of_another_state_is_rejected() {
    let provider = TestProvider::new();
    let login = provider.login();
    let mut browser = Browser::default();
    browser.begin(&login, LoginRequest::default()).await.unwrap();
    let begun = browser.begin(&login, LoginRequest::default()).await.unwrap();
    // The value of the first one, under the name of the second one.
    browser.0[1].1 = browser.0[0].1.clone();
    let error = browser.complete(&login, provider.authorize(&begun.location)).await.err().unwrap();
    assert_eq!(error.kind(), LoginErrorKind::InvalidState);
    assert!(reason(&error).contains("not sealed"));
}

#[tokio::test]
async fn response_without_a_state_or_with_two_cookies_is_rejected() {
    let provider = TestProvider::new();
    let login = provider.login();
    let mut browser = Browser::default();
    let begun = browser.begin(&login, LoginRequest::default()).await.unwrap();
    let response = provider.authorize(&begun.location);
    for state in [None, Some(String::new()), Some("a".repeat(65)), Some("x\0".into())] {
        let response =
            CallbackParameters { state, code: response.code.clone(), ..Default::default() };
        let error = browser.complete(&login, response).await.err().unwrap();
        assert_eq!(error.kind(), LoginErrorKind::InvalidState);
    }
    browser.0.push(browser.0[0].clone());
    let error = browser.complete(&login, response).await.err().unwrap();
    assert!(reason(&error).contains("two login cookies"));
}

#[tokio::test]
async fn login_expires_after_ten_minutes() {
    for (seconds, is_accepted) in [(599, true), (600, false)] {
        let provider = TestProvider::new();
        let login = provider.login();
        let mut browser = Browser::default();
        let begun = browser.begin(&login, LoginRequest::default()).await.unwrap();
        provider.clock().advance(Duration::from_secs(seconds));
        let result = browser.complete(&login, provider.authorize(&begun.location)).await;
        assert_eq!(result.is_ok(), is_accepted, "{seconds}");
        if let Err(error) = result {
            assert!(reason(&error).contains("more than 10 minutes ago"));
        }
    }
}

#[tokio::test]
async fn login_of_an_instance_whose_clock_is_ahead_is_accepted_within_the_leeway() {
    for (seconds, is_accepted) in [(60, true), (61, false)] {
        let provider = TestProvider::new();
        let login = provider.login();
        let mut browser = Browser::default();
        let begun = browser.begin(&login, LoginRequest::default()).await.unwrap();
        let now = std::time::SystemTime::now();
        provider.clock().set(now - Duration::from_secs(seconds));
        let result = browser.complete(&login, provider.authorize(&begun.location)).await;
        assert_eq!(result.is_ok(), is_accepted, "{seconds}");
    }
}

#[tokio::test]
async fn login_at_another_provider_is_rejected() {
    let provider = TestProvider::new();
    let shared = sessions(provider.clock(), Memory::new());
    let login = provider.builder().sessions(shared.clone()).build().unwrap();
    for other in [
        provider.builder().client_id("other"),
        provider.builder().redirect_uri("https://app.example/other"),
        provider
            .configure(OidcLogin::oauth2(
                "https://id.example/authorize",
                "https://id.example/token",
            ))
            .identity(|_| async { Err::<super::Identity, _>("not used") }),
    ] {
        let other = other.sessions(shared.clone()).build().unwrap();
        let mut browser = Browser::default();
        let begun = browser.begin(&login, LoginRequest::default()).await.unwrap();
        let error = browser.complete(&other, provider.authorize(&begun.location)).await;
        let error = error.err().unwrap();
        assert_eq!(error.kind(), LoginErrorKind::InvalidState);
        assert!(reason(&error).contains("another provider"), "{}", reason(&error));
    }
    assert!(provider.forms("/token").is_empty());
}

#[tokio::test]
async fn iss_of_another_provider_is_rejected() {
    let provider = TestProvider::new();
    let login = provider.login();
    for (iss, is_accepted) in [
        (Some(ISSUER), true),
        (None, true),
        (Some("https://id.example/"), false),
        (Some("https://evil.example"), false),
        (Some(""), false),
    ] {
        let mut browser = Browser::default();
        let begun = browser.begin(&login, LoginRequest::default()).await.unwrap();
        let mut response = provider.authorize(&begun.location);
        response.iss = iss.map(str::to_owned);
        let result = browser.complete(&login, response).await;
        assert_eq!(
            result.err().map(|error| error.kind()),
            (!is_accepted).then_some(LoginErrorKind::InvalidState),
            "{iss:?}"
        );
    }
    assert_eq!(provider.forms("/token").len(), 2);
}

#[tokio::test]
async fn iss_is_required_if_the_provider_always_sends_it() {
    let provider = TestProvider::new();
    provider.metadata(json!({ "authorization_response_iss_parameter_supported": true }));
    let login = provider.login();
    let error = log_in(&provider, &login, LoginRequest::default()).await.err().unwrap();
    assert_eq!(error.kind(), LoginErrorKind::InvalidState);
    assert!(provider.forms("/token").is_empty());
}

#[tokio::test]
async fn of_64_callbacks_with_the_same_state_one_passes() {
    let provider = TestProvider::new();
    let login = provider.login();
    let mut browser = Browser::default();
    let begun = browser.begin(&login, LoginRequest::default()).await.unwrap();
    let (browser, response) = (Arc::new(browser), provider.authorize(&begun.location));
    let callbacks = (0..64).map(|_| {
        let response = CallbackParameters {
            code: response.code.clone(),
            state: response.state.clone(),
            ..Default::default()
        };
        let (browser, login) = (Arc::clone(&browser), login.clone());
        tokio::spawn(async move { browser.complete(&login, response).await.map(drop) })
    });
    let results = join_all(callbacks).await;
    let mut failed = 0;
    for result in results {
        if let Err(error) = result.unwrap() {
            assert_eq!(error.kind(), LoginErrorKind::InvalidState);
            assert!(reason(&error).contains("used before"));
            failed += 1;
        }
    }
    assert_eq!(failed, 63);
    assert_eq!(provider.forms("/token").len(), 1);
}

#[tokio::test]
async fn cancelled_login_cannot_be_completed() {
    let provider = TestProvider::new();
    let login = provider.login();
    let mut browser = Browser::default();
    let begun = browser.begin(&login, LoginRequest::default()).await.unwrap();
    let response = provider.authorize(&begun.location);
    let cancelled = CallbackParameters {
        state: response.state.clone(),
        error: Some("access_denied".into()),
        ..Default::default()
    };
    let error = browser.complete(&login, cancelled).await.err().unwrap();
    assert_eq!(error.kind(), LoginErrorKind::Denied);
    // Just before the cookie expires.
    provider.clock().advance(Duration::from_secs(599));
    let error = browser.complete(&login, response).await.err().unwrap();
    assert_eq!(error.kind(), LoginErrorKind::InvalidState);
    assert!(reason(&error).contains("used before"), "{}", reason(&error));
}

#[tokio::test]
async fn logout_url_has_the_hint_and_a_registered_url() {
    let provider = TestProvider::new();
    let login = provider.builder().after_logout("https://app.example/bye").build().unwrap();
    let url = login.0.end_session_url(Some("a.b.c")).await.unwrap();
    assert!(url.starts_with("https://id.example/logout?x=1&"));
    let sent = query(&url);
    assert_eq!(sent["client_id"], CLIENT);
    assert_eq!(sent["id_token_hint"], "a.b.c");
    assert_eq!(sent["post_logout_redirect_uri"], "https://app.example/bye");
    let url = provider.login().0.end_session_url(None).await.unwrap();
    assert_eq!(query(&url).len(), 2);
    for endpoint in [Value::Null, json!("http://id.example/logout"), json!("//id.example")] {
        let provider = TestProvider::new();
        provider.metadata(json!({ "end_session_endpoint": endpoint }));
        assert_eq!(provider.login().0.end_session_url(None).await, None);
    }
}
