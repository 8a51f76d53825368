//! Step-up authentication (RFC 9470).

use std::time::Duration;

use axum::{Router, routing::get};
use serde_json::{Value, json};
use tower_auth::{
    AuthenticateLayer, GuardedRouter, Policy, RequireAuthentication, RequireScopes, any_of,
    test_util::TestClock,
};

use super::{Api, Issuer, Reply, greet, staff};

const ERROR: &str = r#"Bearer realm="api", error="insufficient_user_authentication""#;

async fn serve(issuer: &Issuer, clock: &TestClock) -> Api {
    let fresh = RequireAuthentication::max_age(Duration::from_secs(60)).clock(clock.clone());
    let strong = RequireAuthentication::acr(["urn:gold", "urn:silver"]);
    let routes = GuardedRouter::new()
        .route("/fresh", get(greet), fresh.clone())
        .route("/strong", get(greet), strong.clone())
        .route("/all", get(greet), RequireScopes::all(["read", "admin"]).and(strong).and(fresh));
    let app: Router = routes.into_router(AuthenticateLayer::new(any_of((issuer.auth(), staff()))));
    Api::serve(app).await
}

#[tokio::test]
async fn login_older_than_max_age_returns_401() {
    let (issuer, clock) = (Issuer::new(), TestClock::new());
    let api = serve(&issuer, &clock).await;
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let token = issuer.token_with(json!({ "auth_time": now - 30 }));
    assert_eq!(api.get_with_token(&token, "/fresh").await.status, 200);
    clock.advance(Duration::from_secs(90));
    let reply = api.get_with_token(&token, "/fresh").await;
    assert_eq!(reply.status, 401);
    assert_eq!(reply.challenges(), [format!(r#"{ERROR}, max_age="60""#)]);
    // This token has no `auth_time`.
    assert_eq!(api.get_with_token(&issuer.token(), "/fresh").await.status, 401);
}

#[tokio::test]
async fn insufficient_acr_returns_401() {
    let (issuer, clock) = (Issuer::new(), TestClock::new());
    let api = serve(&issuer, &clock).await;
    let with = async |acr: Value| {
        api.get_with_token(&issuer.token_with(json!({ "acr": acr })), "/strong").await
    };
    assert_eq!(with(json!("urn:silver")).await.status, 200);
    for weak in [json!("urn:bronze"), json!(null), json!(["urn:gold"])] {
        let reply = with(weak).await;
        assert_eq!(reply.status, 401);
        assert_eq!(reply.challenges(), [format!(r#"{ERROR}, acr_values="urn:gold urn:silver""#)]);
    }
}

#[tokio::test]
async fn challenge_names_all_requirements_of_the_route() {
    let (issuer, clock) = (Issuer::new(), TestClock::new());
    let api = serve(&issuer, &clock).await;
    let requirements = r#"scope="read admin", acr_values="urn:gold urn:silver", max_age="60""#;
    assert_eq!(
        api.get_with_token(&issuer.token(), "/all").await.challenges(),
        [format!("{ERROR}, {requirements}")]
    );
    // The login is sufficient and the scopes are not. The challenge repeats the login requirements,
    // so that the next token keeps them.
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let logged_in = json!({ "acr": "urn:gold", "auth_time": now });
    let reply = api.get_with_token(&issuer.token_with(logged_in), "/all").await;
    let error = format!(r#"Bearer realm="api", error="insufficient_scope", {requirements}"#);
    assert_eq!((reply.status.as_u16(), reply.challenges()), (403, vec![&*error]));
    // The scopes and `acr` are sufficient and `auth_time` is missing. The challenge repeats all.
    let scoped = json!({ "scope": "read admin", "acr": "urn:gold" });
    let reply = api.get_with_token(&issuer.token_with(scoped), "/all").await;
    assert_eq!(
        (reply.status.as_u16(), reply.challenges()),
        (401, vec![&*format!("{ERROR}, {requirements}")])
    );
}

#[tokio::test]
async fn basic_caller_gets_403_and_anonymous_request_gets_plain_401() {
    let api = serve(&Issuer::new(), &TestClock::new()).await;
    let reply = api.get_as_staff("secret", "/strong").await;
    assert_eq!((reply.status.as_u16(), reply.challenges().len()), (403, 0));
    let reply: Reply = api.get_anonymous("/strong").await;
    assert_eq!(
        reply.challenges(),
        [r#"Bearer realm="api""#, r#"Basic realm="staff", charset="UTF-8""#]
    );
}
