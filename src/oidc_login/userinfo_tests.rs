use serde_json::json;

use super::{
    authorization_request::LoginRequest,
    login_error::LoginErrorKind,
    test_provider::{TestProvider, log_in, reason},
};

#[tokio::test]
async fn userinfo_adds_claims_and_the_id_token_has_priority() {
    let provider = TestProvider::new();
    provider.id_token(|token| token.claim("email", "a@b.example").claim("a\"b", 1));
    provider.userinfo(
        200,
        "application/json; charset=utf-8",
        r#" {"sub": "alice", "iss": "x", "email": "evil", "n\u0061me": "Al\"ice", "a\"b": 2} "#,
    );
    let login = provider.builder().userinfo().build().unwrap();
    let completed = log_in(&provider, &login, LoginRequest::default()).await.unwrap();
    let user = completed.login;
    assert_eq!(user.claim::<String>("email").unwrap(), "a@b.example");
    assert_eq!(user.claim::<String>("name").unwrap(), "Al\"ice");
    assert_eq!(user.claim::<u8>("a\"b").unwrap(), 1);
    assert_eq!(user.claim::<String>("iss").unwrap(), super::test_provider::ISSUER);
    assert_eq!(provider.header("/userinfo", "authorization").unwrap(), "Bearer at-1");
}

#[tokio::test]
async fn userinfo_says_nothing_about_the_login() {
    let provider = TestProvider::new();
    let body =
        r#"{"sub":"alice","acr":"gold","amr":["mfa"],"auth_time":1,"sid":"s1","\u0061zp":"x"}"#;
    provider.userinfo(200, "application/json", body);
    let login = provider.builder().userinfo().build().unwrap();
    let completed = log_in(&provider, &login, LoginRequest::default()).await.unwrap();
    for name in ["acr", "amr", "auth_time", "sid", "azp"] {
        assert!(completed.login.claim::<serde_json::Value>(name).is_err(), "{name}");
    }
    assert_eq!(completed.provider.unwrap().sid, None);
}

#[tokio::test]
async fn userinfo_is_not_fetched_by_default() {
    let provider = TestProvider::new();
    log_in(&provider, &provider.login(), LoginRequest::default()).await.unwrap();
    assert!(provider.header("/userinfo", "authorization").is_none());
}

#[tokio::test]
async fn invalid_userinfo_response_fails_the_login() {
    let provider = TestProvider::new();
    let login = provider.builder().userinfo().build().unwrap();
    let json = "application/json";
    let long = format!(r#"{{"sub":"alice","x":"{}"}}"#, "a".repeat(1 << 20));
    for (status, content_type, body, kind, hint) in [
        (200, json, r#"{"sub":"mallory"}"#, LoginErrorKind::Provider, "sub of the userinfo"),
        (200, json, r#"{"name":"Alice"}"#, LoginErrorKind::Provider, "sub of the userinfo"),
        (200, json, r#"{"sub":["alice"]}"#, LoginErrorKind::Provider, "sub of the userinfo"),
        (200, json, r#"{"sub":"alice","sub":"b"}"#, LoginErrorKind::Provider, "JSON object"),
        (200, json, "[]", LoginErrorKind::Provider, "JSON object"),
        (200, json, &long, LoginErrorKind::Provider, "1 MiB"),
        (200, "Application/JWT ;x", "a.b.c", LoginErrorKind::Provider, "signed_response_alg"),
        (401, json, r#"{"sub":"alice"}"#, LoginErrorKind::Provider, "401"),
        (302, json, r#"{"sub":"alice"}"#, LoginErrorKind::Provider, "302"),
        (503, json, r#"{"sub":"alice"}"#, LoginErrorKind::Unavailable, "503"),
        (429, json, r#"{"sub":"alice"}"#, LoginErrorKind::Unavailable, "429"),
    ] {
        provider.userinfo(status, content_type, body);
        let error = log_in(&provider, &login, LoginRequest::default()).await.err().unwrap();
        assert_eq!(error.kind(), kind, "{body:.99}");
        assert!(reason(&error).contains(hint), "{}", reason(&error));
    }
}

#[tokio::test]
async fn provider_without_a_secure_userinfo_endpoint_is_misconfigured() {
    for endpoint in [json!(null), json!("http://id.example/userinfo"), json!(7)] {
        let provider = TestProvider::new();
        provider.metadata(json!({ "userinfo_endpoint": endpoint }));
        let login = provider.builder().userinfo().build().unwrap();
        let error = log_in(&provider, &login, LoginRequest::default()).await.err().unwrap();
        assert_eq!(error.kind(), LoginErrorKind::Misconfigured);
    }
}
