//! Routes of an issuer whose users log in at a provider.

use serde_json::json;
use tower_auth::{
    Principal, Scheme,
    issue::{SecondFactor, TokenRoutes},
};

use super::{Setup, send_json};

#[tokio::test]
async fn routes_without_passwords_have_everything_but_a_login() {
    let setup = Setup::new();
    let client = setup.serve(TokenRoutes::without_passwords(setup.issuer.clone())).await;
    let alice = Principal::builder("alice", Scheme::COOKIE).scopes(["read"]).build();
    let tokens = setup.issuer.issue(&alice).await.unwrap();
    assert_eq!(client.status(tokens.access_token()).await, 200);
    assert_eq!(client.refresh("no-token").await.status, 400);
    let refreshed = client.refresh(tokens.refresh_token()).await;
    assert_eq!(refreshed.status, 200);
    assert_eq!(client.log_out(tokens.refresh_token()).await.status, 204);
    assert_eq!(client.status(tokens.access_token()).await, 401);
    assert_eq!(client.api.get_anonymous("/login").await.status, 404);
}

#[tokio::test]
async fn login_without_passwords_returns_404() {
    let setup = Setup::new();
    let routes = TokenRoutes::without_passwords(setup.issuer.clone()).cookie().build().unwrap();
    let app = axum::Router::new().route_service("/login", routes.login());
    let client = setup.serve_app(app).await;
    let parameters = json!({ "username": "alice", "password": "correct horse" });
    let reply = send_json(client.post("/login"), &parameters).await;
    assert_eq!(reply.status, 404);
    assert_eq!(reply.headers["cache-control"], "no-store");
    assert!(!reply.headers.contains_key("set-cookie"));
}

#[tokio::test]
async fn second_factor_without_passwords_is_a_configuration_error() {
    let routes = TokenRoutes::without_passwords(Setup::new().issuer)
        .second_factor(async |_| SecondFactor::Rejected);
    assert!(routes.build().unwrap_err().to_string().contains("second_factor"));
}
