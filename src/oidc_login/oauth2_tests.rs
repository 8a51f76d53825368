//! Logins at a provider like GitHub.

use std::time::Duration;

use serde_json::json;

use super::{
    Identity, LoginError, LoginErrorKind, OidcLogin, OidcLoginBuilder, ProviderToken,
    authorization_request::LoginRequest,
    test_provider::{Browser, TestProvider, log_in, parse, reason, with_acr, with_max_age},
};
use crate::client::error::BoxError;

fn builder(provider: &TestProvider) -> OidcLoginBuilder {
    let github =
        OidcLogin::oauth2("https://id.example/login/oauth/authorize", "https://id.example/token");
    // GitHub sends neither an ID token nor `expires_in`.
    provider.tokens(json!({
        "token_type": "bearer", "scope": "read:user,user:email", "expires_in": null,
        "id_token": null,
    }));
    provider.configure(github).client_secret("s3cret").scopes(["read:user", "user:email"])
}

async fn identity(token: ProviderToken) -> Result<Identity, BoxError> {
    assert_eq!(token.as_str(), "at-1");
    assert!(token.scopes().contains("user:email") && token.expires_in().is_none());
    assert!(!format!("{token:?}").contains("at-1"));
    Ok(Identity::new("https://github.com", "583231").claims(&json!({ "login": "octocat" }))?)
}

#[tokio::test]
async fn oauth2_login_returns_the_identity() {
    let provider = TestProvider::new();
    let login = builder(&provider).identity(identity).build().unwrap();
    let mut browser = Browser::default();
    let begun = browser.begin(&login, LoginRequest::default()).await.unwrap();
    let sent = parse(begun.location.split_once('?').unwrap().1);
    assert_eq!(sent["scope"], "read:user user:email");
    assert_eq!(sent["code_challenge_method"], "S256");
    assert!(!sent.contains_key("nonce"));
    let mut response = provider.authorize(&begun.location);
    response.iss = Some("https://github.com".into());
    let completed = browser.complete(&login, response).await.unwrap();
    assert!(completed.provider.is_none());
    let user = completed.login;
    assert_eq!((user.issuer(), user.subject()), (Some("https://github.com"), "583231"));
    assert_eq!(user.claim::<String>("login").unwrap(), "octocat");
    assert_eq!(user.principal().build().issuer(), Some("https://github.com"));
    assert_eq!((user.sid(), user.refresh_token()), (None, None));
    assert_eq!(provider.header("/token", "accept").unwrap(), "application/json");
    assert!(provider.header("/token", "authorization").unwrap().starts_with("Basic "));
    assert_eq!(provider.discoveries(), 0);
    assert_eq!(login.0.end_session_url(None).await, None);
}

#[tokio::test]
async fn identity_without_claims_has_an_issuer_and_a_subject() {
    let provider = TestProvider::new();
    let login = builder(&provider)
        .identity(|_| async { Ok::<_, BoxError>(Identity::new("github", "7")) })
        .build()
        .unwrap();
    let user = log_in(&provider, &login, LoginRequest::default()).await.unwrap().login;
    assert_eq!((user.issuer(), user.subject()), (Some("github"), "7"));
    assert!(user.claim::<String>("login").is_err());
}

#[tokio::test]
async fn identity_that_is_not_known_fails_the_login() {
    let provider = TestProvider::new();
    for (issuer, subject) in [("", "7"), ("github", ""), ("github", &*"a".repeat(256))] {
        let (issuer, subject) = (issuer.to_owned(), subject.to_owned());
        let login = builder(&provider)
            .identity(move |_| {
                let identity = Identity::new(issuer.clone(), subject.clone());
                async { Ok::<_, BoxError>(identity) }
            })
            .build()
            .unwrap();
        let error = log_in(&provider, &login, LoginRequest::default()).await.err().unwrap();
        assert_eq!(error.kind(), LoginErrorKind::Provider);
    }
    let failing = builder(&provider)
        .identity(|_| async { Err::<Identity, BoxError>("api.github.com returned 500".into()) });
    let error = log_in(&provider, &failing.build().unwrap(), LoginRequest::default()).await;
    let error = error.err().unwrap();
    assert_eq!(error.kind(), LoginErrorKind::Provider);
    assert!(reason(&error).contains("returned 500"));
    let down = builder(&provider).identity(|_| async {
        Err::<Identity, _>(LoginError::new(LoginErrorKind::Unavailable).because("timeout"))
    });
    let error = log_in(&provider, &down.build().unwrap(), LoginRequest::default()).await;
    assert_eq!(error.err().unwrap().kind(), LoginErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn identity_that_hangs_is_unavailable_within_the_timeout() {
    let provider = TestProvider::new();
    let login = builder(&provider)
        .timeout(Duration::from_secs(2))
        .identity(|_| std::future::pending::<Result<Identity, BoxError>>())
        .build()
        .unwrap();
    let start = tokio::time::Instant::now();
    let error = log_in(&provider, &login, LoginRequest::default()).await.err().unwrap();
    assert_eq!(error.kind(), LoginErrorKind::Unavailable);
    assert_eq!(start.elapsed(), Duration::from_secs(2));
}

#[tokio::test]
async fn error_with_status_200_fails_the_login() {
    let provider = TestProvider::new();
    let login = builder(&provider).identity(identity).build().unwrap();
    for (error, kind) in [
        ("bad_verification_code", LoginErrorKind::InvalidState),
        ("redirect_uri_mismatch", LoginErrorKind::Provider),
        ("incorrect_client_credentials", LoginErrorKind::Misconfigured),
    ] {
        provider.tokens(json!({ "error": error, "access_token": null }));
        let failed = log_in(&provider, &login, LoginRequest::default()).await.err().unwrap();
        assert_eq!(failed.kind(), kind, "{error}");
    }
}

#[tokio::test]
async fn step_up_at_an_oauth2_provider_is_insufficient() {
    let provider = TestProvider::new();
    let login = builder(&provider).identity(identity).build().unwrap();
    for request in [with_acr("gold"), with_max_age(60)] {
        let error = Browser::default().begin(&login, request).await.err().unwrap();
        assert_eq!(error.kind(), LoginErrorKind::Insufficient);
    }
}
