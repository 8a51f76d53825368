use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::json;
use tower::ServiceExt as _;

use super::fixture::{App, Browser};
use crate::oidc_login::{Identity, OidcLogin};

#[tokio::test]
async fn logout_at_the_provider_ends_the_session_of_its_sid() {
    let app = App::new();
    let (mut ended, mut other) = (Browser::default(), Browser::default());
    app.provider.set("sid", "s1");
    app.log_in(&mut ended, "").await;
    app.provider.set("sid", "s2");
    app.log_in(&mut other, "").await;
    let events = json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
    let token = app.provider.mint.token("alice").audience("app").typ("logout+jwt");
    let token = token.claim("sid", "s1").claim("events", events).claim("jti", "j1").sign();
    let body = Full::new(Bytes::from(format!("logout_token={token}")));
    let request = Request::builder()
        .method("POST")
        .uri("/backchannel-logout")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body)
        .unwrap();
    let logout = app.login.backchannel_logout().unwrap();
    assert_eq!(logout.oneshot(request).await.unwrap().status(), 200);
    assert_eq!(app.user(&ended).await, None);
    assert_eq!(app.user(&other).await.as_deref(), Some("alice"));
}

#[tokio::test]
async fn provider_without_openid_has_no_back_channel_logout() {
    let app = App::new();
    let login = OidcLogin::oauth2("https://github.example/authorize", "https://github.example/t")
        .client_id("app")
        .redirect_uri("https://app.example/callback")
        .client(async |_: Request<Bytes>| {
            Err::<http::Response<Bytes>, _>(std::io::Error::other("no network"))
        })
        .identity(async |_| Ok::<_, std::io::Error>(Identity::new("github", "1")))
        .then(async |login| Ok(login.principal().build()))
        .sessions(app.sessions)
        .build()
        .unwrap();
    let error = login.backchannel_logout().unwrap_err();
    assert!(error.to_string().contains("OpenID"), "{error}");
}
