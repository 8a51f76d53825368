//! A provider with OAuth 2.0 only, such as GitHub.

use serde_json::Value;
use tower_auth::{
    oidc_login::{Identity, Login, OidcLogin, ProviderToken},
    test_util::TestClock,
};
use tower_auth_test_support::{
    oidc_stub::{CLIENT_ID, CLIENT_SECRET, Fault, OidcStub},
    user_agent::UserAgent,
};

use super::{SESSION, Service, only, query_of};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Asks the API who the user is.
async fn user_at(api: String, token: ProviderToken) -> Result<Identity, BoxError> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let request = client.get(api).bearer_auth(token.as_str()).header("user-agent", "app");
    let text = request.send().await?.error_for_status()?.text().await?;
    let user: Value = serde_json::from_str(&text)?;
    let id = user["id"].as_u64().ok_or("no id")?;
    Ok(Identity::new("https://github.com", id.to_string()).claims(&user)?)
}

async fn start() -> (OidcStub, Service) {
    let clock = TestClock::new();
    let stub = OidcStub::start(clock.clone()).await;
    let login = OidcLogin::oauth2(
        stub.url("/login/oauth/authorize"),
        stub.url("/login/oauth/access_token"),
    );
    let api = stub.url("/user");
    let service = Service::start_with(&clock, login, |login| {
        login
            .client_secret_post()
            .scopes("read:user")
            .identity(move |token| user_at(api.clone(), token))
            .then(|login: Login| async move {
                let name: String = login.claim("login").unwrap();
                assert!(login.scopes().contains("read:user"));
                assert_eq!(login.refresh_token(), None);
                Ok(login.principal().scopes([name.as_str()]).build())
            })
    });
    (stub, service.await)
}

#[tokio::test]
async fn user_of_github_logs_in() {
    let (stub, service) = start().await;
    let browser = UserAgent::new();
    let reply = browser.visit(&service.url("/account")).await;
    assert_eq!(
        reply.body,
        "/account for 583231 of https://github.com",
        "{:?}",
        service.events.take()
    );
    let request = only(stub.received("/login/oauth/authorize"));
    assert_eq!(request.parameters["scope"], "read:user");
    assert!(!request.parameters.contains_key("nonce"));
    assert_eq!(request.parameters["code_challenge_method"], "S256");
    let request = only(stub.received("/login/oauth/access_token"));
    assert_eq!(request.headers["accept"], "application/json");
    assert_eq!(request.parameters["client_id"], CLIENT_ID);
    assert_eq!(request.parameters["client_secret"], CLIENT_SECRET);
    // There is no metadata and no ID token.
    assert!(stub.received("/jwks").is_empty());
    assert!(stub.received("/.well-known/openid-configuration").is_empty());
    for text in browser.seen(&service.url).into_iter().chain(service.events.take()) {
        for secret in stub.secrets() {
            assert!(!text.contains(&secret), "{text}");
        }
    }
}

/// GitHub reports errors with the status 200.
#[tokio::test]
async fn error_with_status_200_is_an_error() {
    let (stub, service) = start().await;
    stub.change_token_response(|response| {
        *response = serde_json::json!({ "error": "bad_verification_code" });
    });
    let browser = UserAgent::new();
    let callback = service.callback_of(&browser, "/login").await;
    let reply = service.call_back(&browser, &callback).await;
    assert_eq!(reply.status, 400, "{reply:?}");
    assert!(browser.cookie(&service.url, SESSION).is_none());
    let events = service.events.take();
    assert!(events.iter().any(|event| event.contains("bad_verification_code")), "{events:?}");
}

#[tokio::test]
async fn failed_request_for_the_identity_starts_no_session() {
    let (stub, service) = start().await;
    for fault in [
        Fault::Status(401),
        Fault::Status(500),
        Fault::Body("application/json", r#"{"id":"583231"}"#.to_owned()),
    ] {
        stub.set_fault("/user", fault);
        let browser = UserAgent::new();
        let callback = service.callback_of(&browser, "/login").await;
        let reply = service.call_back(&browser, &callback).await;
        assert!([502, 503].contains(&reply.status.as_u16()), "{reply:?}");
        assert!(browser.cookie(&service.url, SESSION).is_none());
    }
    stub.set_fault("/user", None);
    service.log_in(&UserAgent::new()).await;
}

#[tokio::test]
async fn logout_needs_no_provider() {
    let (_stub, service) = start().await;
    let browser = UserAgent::new();
    service.log_in(&browser).await;
    let reply = service.post(&browser, "/logout").await;
    assert_eq!(super::location(&reply), "/");
    assert!(browser.cookie(&service.url, SESSION).is_none());
}

#[tokio::test]
async fn replayed_callback_is_rejected_without_a_request() {
    let (stub, service) = start().await;
    let browser = UserAgent::new();
    let callback = service.callback_of(&browser, "/login").await;
    assert!(query_of(&callback).contains_key("code"));
    assert_eq!(service.call_back(&browser, &callback).await.status, 303);
    assert_eq!(service.call_back(&browser, &callback).await.status, 400);
    assert_eq!(stub.uses_of_codes(), [1]);
}
